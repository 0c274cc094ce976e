import { fileURLToPath } from 'node:url'
import { Child } from './child.js'
import type { Cores } from './cores.js'
import type { Peer } from './peers.js'
import { runtimeOf } from './runtime.js'
import type { LoadApi, ServerApi } from './shared/messages.js'

/** Megabytes of the young generation of a load generator, whose own collections are not what is measured. */
const YOUNG = 64

/** The processes of a measurement: a server, which is started when it is first asked for, and load generators. */
export class Company {
  readonly peer: Peer
  readonly cores: Cores
  readonly loaders: ReadonlyArray<Child<LoadApi>>
  readonly #scripts: URL
  readonly #flags: readonly string[]
  #server: Child<ServerApi> | undefined

  /**
   * @param scripts folder of the children's scripts
   * @param flags more arguments of Node for a server that runs on it
   */
  constructor (peer: Peer, cores: Cores, scripts: URL, flags: readonly string[] = []) {
    this.peer = peer
    this.cores = cores
    this.#scripts = scripts
    this.#flags = flags
    this.loaders = cores.load.map((core) => new Child<LoadApi>(this.#script('load/main.js'), {
      core,
      nodeArguments: [`--max-semi-space-size=${YOUNG}`]
    }))
  }

  get server (): Child<ServerApi> {
    this.#server ??= new Child(this.#script('servers/main.js'), {
      core: this.cores.server,
      program: runtimeOf(this.peer),
      nodeArguments: this.peer.runtime === undefined ? ['--expose-gc', ...this.#flags] : []
    })
    return this.#server
  }

  #script (path: string): string { return fileURLToPath(new URL(path, this.#scripts)) }

  async end (): Promise<void> {
    await Promise.all([this.#server?.end(), ...this.loaders.map(async (loader) => { await loader.end() })])
  }
}
