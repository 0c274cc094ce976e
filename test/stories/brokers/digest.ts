import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
/** What a node serves to browsers, which is text to it. */
const SERVED = /^lib\/(endpoint\/client-script\/built|stats\/dashboard\/)/

/**
 * Tells one state of what a node of a story runs of `lib/` from another, so that runs of one state can be gathered in
 * parts: comments, documents and what no node runs, such as the client, make no other state.
 */
export async function libDigest (): Promise<string> {
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
  const hash = createHash('sha256')
  for (const path of files) {
    const { code } = await transform(readFileSync(join(ROOT, path)), { loader: 'ts', minifyWhitespace: true })
    hash.update(`${path}\n${code}\n`)
  }
  return hash.digest('hex').slice(0, 12)
}
