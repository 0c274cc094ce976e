import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstreamManager, type JetStreamManager, type StreamInfo } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { startNats, startNatsCluster, until, type Server, type Teardown } from '../../helpers/servers.js'
import { crash, proxiesOf, type AdapterName, type Broker, type Data, type Way } from './broker.js'

/** Milliseconds that a request of a node may take, of one server and of a cluster. */
const TIMEOUT = 1_000
const CLUSTER_TIMEOUT = 3_000
/** Milliseconds in which the servers of a cluster agree on leaders, on a machine that is busy. */
const ELECTION = 60_000
/** Streams that hold the history of rooms, and those that are buckets. */
const HISTORY = /^realtime_[0-9a-f]{12}$/
const BUCKET = /^KV_realtime_/

class NatsServers implements Broker {
  readonly adapter: AdapterName
  readonly servers: readonly Server[]
  readonly timeout: number
  readonly #teardown: Teardown

  constructor (t: Teardown, adapter: AdapterName, servers: readonly Server[]) {
    this.#teardown = t
    this.adapter = adapter
    this.servers = servers
    this.timeout = servers.length > 1 ? CLUSTER_TIMEOUT : TIMEOUT
  }

  async way (): Promise<Way> {
    const { proxies, ports } = await proxiesOf(this.#teardown, this.servers)
    const url = ports.map((port) => `nats://127.0.0.1:${port}`)
    // Servers that tell of each other would lead around the proxies.
    const settings = { ignoreClusterUpdates: true }
    const replicas = this.servers.length
    const own = { timeout: this.timeout, ...(replicas > 1 ? { replicas } : {}) }
    return {
      proxies,
      adapter: { kind: 'nats', options: { url, settings, ...own } }
    }
  }

  async #manage<T> (work: (jsm: JetStreamManager, connection: NatsConnection) => Promise<T>): Promise<T> {
    const connection = await connect({ servers: this.servers.map(({ url }) => url), timeout: 10_000 })
    try {
      return await work(await jetstreamManager(connection, { timeout: 10_000 }), connection)
    } finally {
      await connection.close()
    }
  }

  async #streams (jsm: JetStreamManager, pattern: RegExp): Promise<StreamInfo[]> {
    const found: StreamInfo[] = []
    for await (const info of jsm.streams.list()) if (pattern.test(info.config.name)) found.push(info)
    return found
  }

  /** Both clocks of a stream stand still while its files are copied, so that they belong together. */
  async snapshot (): Promise<void> {
    await Promise.all(this.servers.map((server) => server.pause()))
    await Promise.all(this.servers.map(({ directory }) => cp(
      join(directory, 'data'),
      join(directory, 'older'),
      { recursive: true }
    )))
    for (const server of this.servers) server.resume()
  }

  async restart (data: Data, pause: number): Promise<void> {
    await crash(this.servers, async () => {
      for (const { directory } of this.servers) {
        if (data !== 'all') await rm(join(directory, 'data'), { recursive: true, force: true })
        if (data === 'older') await cp(join(directory, 'older'), join(directory, 'data'), { recursive: true })
      }
      await sleep(pause)
    })
  }

  async leader (): Promise<Server> {
    const name = await this.#manage(async (jsm) => (await this.#streams(jsm, HISTORY))[0]?.cluster?.leader)
    return this.servers[name === undefined || this.servers.length === 1 ? 0 : Number(name.slice(1))]!
  }

  async failOver (): Promise<void> {
    await this.#manage(async (jsm, connection) => {
      for (const { config: { name }, cluster } of await this.#streams(jsm, HISTORY)) {
        const before = cluster?.leader
        await connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${name}`, undefined, { timeout: 10_000 })
        await until(`another server leads ${name}`, async () => {
          const leader = (await jsm.streams.info(name)).cluster?.leader
          return leader !== undefined && leader !== before
        })
      }
    })
  }

  async deleteHistory (): Promise<void> { await this.#delete(HISTORY) }

  /** The servers of a cluster elect who leads them all, and each stream, one after the other. */
  async whole (): Promise<void> {
    if (this.servers.length === 1) return
    // Who asks for its streams is refused as well until there is a leader.
    await until('the cluster and all streams have leaders', () => this.#manage(async (jsm) => {
      const found = await this.#streams(jsm, /./)
      return found.every(({ cluster }) => cluster?.leader !== undefined)
    }), ELECTION)
  }

  async deleteBuckets (): Promise<void> { await this.#delete(BUCKET) }

  async #delete (pattern: RegExp): Promise<void> {
    await this.#manage(async (jsm) => {
      for (const { config: { name } } of await this.#streams(jsm, pattern)) await jsm.streams.delete(name)
    })
  }
}

/** Deletes what holds leases, presence, claims, denials and values. */
export async function deleteBuckets (broker: Broker): Promise<void> {
  if (!(broker instanceof NatsServers)) throw new Error('only NATS has buckets')
  await broker.deleteBuckets()
}

export async function startNatsBroker (t: Teardown, adapter: AdapterName): Promise<Broker> {
  return new NatsServers(t, adapter, adapter === 'nats' ? [await startNats(t)] : await startNatsCluster(t))
}
