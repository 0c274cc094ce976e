import { Late } from '../broker/patience.js'
import type { Standing } from '../broker/standing.js'
import type { Client, Shard } from './clients.js'
import type { ServerClocks } from './clocks.js'
import { isConnected, Leaders, leadersOf, nameOf } from './shards.js'

export interface ClusterShardsOptions {
  readonly clocks: ServerClocks
  /** Whether each shard is there, by its name. */
  readonly standings: Map<string, Standing>
  /** Waits for an answer as long as for that of a command. */
  readonly bounded: <T>(answer: Promise<T>) => Promise<T>
  readonly isClosed: () => boolean
}

/**
 * Asks each shard of a cluster by itself, since the client tells of the cluster as a whole: whether it answers, its
 * time, and whether it may lack what was accepted last, because it has restarted or has taken another's place.
 */
export class ClusterShards {
  readonly #options: ClusterShardsOptions
  readonly #leaders = new Leaders()
  #isReplaced = false

  constructor (options: ClusterShardsOptions) {
    this.#options = options
  }

  watch (client: Client): void {
    client.on('refresh', () => { if (this.#leaders.areNow(client.slots ?? [])) this.#isReplaced = true })
    client.on('+node', (shard: Shard) => { shard.on('ready', () => { void this.#meet(shard) }) })
  }

  /** Returns whether one may lack what was accepted last, once. */
  takeReplaced (): boolean {
    const isReplaced = this.#isReplaced
    this.#isReplaced = false
    return isReplaced
  }

  /** Reads the clocks of the shards that are connected. */
  async read (client: Client): Promise<void> { await this.#ask(client, ({ status }) => status === 'ready') }

  /**
   * Checks the shards that are or have been connected.
   *
   * @returns those that have answered
   */
  async look (client: Client): Promise<ReadonlySet<string>> {
    // One that has been used is connected to again at once, since it may have lost what this node holds there.
    return await this.#ask(client, (shard, name) => isConnected(shard) || this.#leaders.isKnown(name))
  }

  /**
   * Asks a server, at each connection to it, whether it has been running since the last one. A connection that stands
   * was answered: who waits for the shard waits again, also where its connections break again and again.
   */
  async #meet (shard: Shard): Promise<void> {
    const { standings, bounded } = this.#options
    const name = nameOf(shard)
    const standing = standings.get(name)
    if (standing?.link.isInDoubt === true) standing.link.seen()
    // Where it does not answer, the connection ends soon, and the next one is asked.
    const info = String(await bounded(shard.call('INFO', 'server')).catch(() => ''))
    if (info !== '') standings.get(name)?.link.over()
    const run = /^run_id:(\w+)/m.exec(info)?.[1]
    if (run !== undefined && this.#leaders.hasRestarted(name, run)) this.#isReplaced = true
  }

  /**
   * Asks shards for their time. One that answers is not away, whatever was found before; the connection to one that is
   * silent is given up.
   *
   * @returns those that have answered
   */
  async #ask (client: Client, isMeant: (shard: Shard, name: string) => boolean): Promise<ReadonlySet<string>> {
    const { clocks, standings, bounded, isClosed } = this.#options
    const there = new Set<string>()
    const named = (client.nodes?.('master') ?? []).map((node) => [nameOf(node), node] as const)
    this.#forget(client, new Set(named.map(([name]) => name)))
    await Promise.all(named.map(async ([name, node]) => {
      if (!isMeant(node, name)) return
      const wasReady = node.status === 'ready'
      await clocks.read(() => name, () => bounded(node.call('TIME'))).then(
        () => {
          there.add(name)
          standings.get(name)?.link.over()
        },
        (error: unknown) => {
          if (!(error instanceof Late) || isClosed()) return
          // It has answered meanwhile, as its connection came to stand, and the time was asked for only then.
          if (!wasReady && node.status === 'ready') return
          // The shard had its time to answer, so no caller waits for it once more.
          standings.get(name)?.link.known()
          node.disconnect()
        }
      )
    }))
    return there
  }

  /**
   * Forgets shards that are gone: where addresses come and go, each failover and each move would leave one.
   *
   * @param connected those that are there for certain
   */
  #forget (client: Client, connected: ReadonlySet<string>): void {
    const { clocks, standings } = this.#options
    const names = [...clocks.names, ...standings.keys()]
    const known = names.filter((name) => name !== '' && !connected.has(name))
    if (known.length === 0) return
    const owners = leadersOf(client.slots ?? [])
    for (const name of known) {
      if (owners.has(name)) continue
      clocks.forget(name)
      // Who waits asks another shard from now on, and must not decide without it.
      standings.get(name)?.replaced()
      standings.delete(name)
    }
  }
}
