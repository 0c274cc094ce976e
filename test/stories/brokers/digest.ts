import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'
import type { AdapterName } from './broker.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
/** What a node serves to browsers, which is text to it. */
const SERVED = /^lib\/(endpoint\/client-script\/built|stats\/dashboard\/)/

/** What speaks to one kind of broker alone, and runs in no node behind another. */
const ADAPTERS = { redis: 'lib/adapters/redis/', nats: 'lib/adapters/nats/' }

type Kind = keyof typeof ADAPTERS

const kindOf = (adapter: AdapterName): Kind => adapter.startsWith('nats') ? 'nats' : 'redis'

/** The present state of what nodes of a story run of `lib/`, by kind of broker. */
export class LibState {
  readonly #digests: Readonly<Record<Kind, string>>

  private constructor (digests: Readonly<Record<Kind, string>>) {
    this.#digests = digests
  }

  /**
   * Tells one state from another, so that runs of one state can be gathered in parts: comments, documents and what no
   * node runs, such as the client, make no other state.
   */
  static async read (): Promise<LibState> {
    const { metafile } = await build({
      entryPoints: [join(ROOT, 'test/stories/brokers/node-process.ts')],
      absWorkingDir: ROOT,
      bundle: true,
      format: 'esm',
      platform: 'node',
      packages: 'external',
      metafile: true,
      write: false,
      outdir: 'out'
    })
    const files = Object.keys(metafile.inputs).filter((path) => path.startsWith('lib/') && !SERVED.test(path)).sort()
    const hashes = { redis: createHash('sha256'), nats: createHash('sha256') }
    for (const path of files) {
      const { code } = await transform(readFileSync(join(ROOT, path)), { loader: 'ts', minifyWhitespace: true })
      if (!path.startsWith(ADAPTERS.nats)) hashes.redis.update(`${path}\n${code}\n`)
      if (!path.startsWith(ADAPTERS.redis)) hashes.nats.update(`${path}\n${code}\n`)
    }
    return new LibState({ redis: hashes.redis.digest('hex').slice(0, 12), nats: hashes.nats.digest('hex').slice(0, 12) })
  }

  of (adapter: AdapterName): string { return this.#digests[kindOf(adapter)] }

  /** Whether a run is of this state. */
  has ({ adapter, lib }: { readonly adapter: AdapterName, readonly lib: string }): boolean {
    return this.of(adapter) === lib
  }
}
