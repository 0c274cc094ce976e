import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import {
  startCluster, startClusterNode, startRedis, startSentinel, until, type Sentinels, type Server, type Teardown
} from '../../helpers/servers.js'
import { crash, proxiesOf, type AdapterName, type Broker, type BrokerNeeds, type Data, type Way } from './broker.js'
import { FEEDS } from './rooms.js'

/** Milliseconds that a command of a node may take. */
const TIMEOUT = 1_000
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always']
/** A primary that stood still accepts nothing that its successor will not have, as the documents advise. */
const CAREFUL = ['--min-replicas-to-write', '1', '--min-replicas-max-lag', '1']
const PREFIX = 'realtime:'
/** Deletes the keys that a pattern fits; their slots do not matter to a server that has them. */
const DELETE = `#!lua flags=allow-cross-slot-keys
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('UNLINK', key) end`

type Command = (...parts: [string, ...Array<string | number>]) => Promise<unknown>

/** Commands on one connection, which ends with `body`. */
export async function commands<T> ({ port }: Server, body: (call: Command) => Promise<T>): Promise<T> {
  const client = new Redis(
    port,
    { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0, commandTimeout: 10_000 }
  )
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await body((name, ...args) => client.call(name, ...args))
  } finally {
    client.disconnect()
  }
}

/** One command on a connection of its own. */
export async function command (server: Server, ...parts: Parameters<Command>): Promise<unknown> {
  return await commands(server, (call) => call(...parts))
}

/** Nodes of `CLUSTER NODES`. */
async function view (server: Server): Promise<Array<{ id: string, port: number, isMaster: boolean, slots: string[] }>> {
  const text = String(await command(server, 'CLUSTER', 'NODES'))
  return text.split('\n').filter((line) => line !== '').map((line) => {
    const [id = '', address = '', flags = '',,,,, , ...slots] = line.split(' ')
    return {
      id,
      port: Number(/:(\d+)@/.exec(address)?.[1]),
      isMaster: /master/.test(flags) && !/fail/.test(flags),
      slots
    }
  })
}

/** What one server, Sentinel and Cluster have in common. */
abstract class RedisServers implements Broker {
  abstract readonly adapter: AdapterName
  readonly servers: readonly Server[]
  readonly timeout = TIMEOUT
  protected readonly teardown: Teardown

  constructor (t: Teardown, servers: readonly Server[]) {
    this.teardown = t
    this.servers = servers
  }

  abstract way (): Promise<Way>
  abstract leader (): Promise<Server>
  abstract failOver (): Promise<void>
  /** servers that take writes */
  abstract masters (): Promise<readonly Server[]>
  /** Resolves when the servers serve as one. */
  protected abstract complete (): Promise<void>

  async snapshot (): Promise<void> { await Promise.all(this.servers.map((server) => command(server, 'SAVE'))) }

  /** What is on the disk decides: a snapshot, the log of one that is durable, or nothing. */
  async restart (_data: Data, pause: number): Promise<void> {
    await crash(this.servers, () => sleep(pause))
    await this.complete()
  }

  /** All of it in one step of each server: what is deleted one after the other is made again meanwhile. */
  async deleteHistory (): Promise<void> {
    for (const server of await this.masters()) {
      await command(server, 'EVAL', DELETE, 0, `${PREFIX}{feed/*`)
    }
  }
}

class OneRedis extends RedisServers {
  readonly adapter = 'redis'

  async way (): Promise<Way> {
    const { proxies, ports } = await proxiesOf(this.teardown, this.servers)
    return { proxies, adapter: { kind: 'redis', options: { url: `redis://127.0.0.1:${ports[0]!}`, timeout: TIMEOUT } } }
  }

  masters (): Promise<readonly Server[]> { return Promise.resolve(this.servers) }
  leader (): Promise<Server> { return Promise.resolve(this.servers[0]!) }
  failOver (): Promise<void> { return Promise.reject(new Error('there is no other server')) }
  protected complete (): Promise<void> { return Promise.resolve() }
}

class SentinelRedis extends RedisServers {
  readonly adapter = 'sentinel'
  readonly #group: Sentinels

  constructor (t: Teardown, group: Sentinels) {
    super(t, [group.primary, group.replica])
    this.#group = group
  }

  async way (): Promise<Way> {
    const { proxies, ports } = await proxiesOf(this.teardown, this.servers)
    const natMap = Object.fromEntries(this.servers.map(({ port }, index) => {
      return [`127.0.0.1:${port}`, { host: '127.0.0.1', port: ports[index]! }]
    }))
    const { name, nodes } = this.#group
    return {
      proxies,
      adapter: { kind: 'redis', options: { sentinels: { name, nodes }, settings: { natMap }, timeout: TIMEOUT } }
    }
  }

  async masters (): Promise<readonly Server[]> { return [await this.leader()] }

  async leader (): Promise<Server> {
    const [, port] = await command(
      this.#group.sentinels[0]!,
      'SENTINEL',
      'GET-MASTER-ADDR-BY-NAME',
      this.#group.name
    ) as [string, string]
    return this.servers.find((server) => server.port === Number(port))!
  }

  async failOver (): Promise<void> {
    await command(this.#group.sentinels[0]!, 'SENTINEL', 'FAILOVER', this.#group.name)
    await this.#group.promoted()
  }

  protected async complete (): Promise<void> {
    await until('the sentinels name a primary that takes writes', async () => {
      const roles = await Promise.all(this.servers.map((server) => command(server, 'ROLE'))) as string[][]
      const leader = this.servers.indexOf(await this.leader())
      return roles[leader]![0] === 'master' && roles[1 - leader]![3] === 'connected'
    })
  }
}

class ClusterRedis extends RedisServers {
  readonly adapter = 'redis-cluster'

  async way (): Promise<Way> {
    const { proxies, ports } = await proxiesOf(this.teardown, this.servers)
    const through = ports.map((port) => ({ host: '127.0.0.1', port }))
    const natMap = Object.fromEntries(this.servers.map(({ port }, index) => [`127.0.0.1:${port}`, through[index]!]))
    return { proxies, adapter: { kind: 'redis', options: { timeout: TIMEOUT }, cluster: { nodes: through, natMap } } }
  }

  async masters (): Promise<readonly Server[]> {
    const ports = (await view(this.servers[0]!)).filter(({ isMaster }) => isMaster).map(({ port }) => port)
    return this.servers.filter(({ port }) => ports.includes(port))
  }

  async leader (): Promise<Server> {
    const slot = Number(await command(this.servers[0]!, 'CLUSTER', 'KEYSLOT', `${PREFIX}{${FEEDS[0]}}`))
    const isHeld = (range: string): boolean => {
      const [from, to = from] = range.split('-').map(Number) as [number, number?]
      return from <= slot && slot <= to
    }
    const { port } = (await view(this.servers[0]!)).find(({ isMaster, slots }) => isMaster && slots.some(isHeld))!
    return this.servers.find((server) => server.port === port)!
  }

  /** A replica follows each master from now on. */
  async addReplicas (servers: readonly Server[]): Promise<void> {
    const masters = (await view(this.servers[0]!)).filter(({ isMaster }) => isMaster)
    for (const server of servers) await command(server, 'CLUSTER', 'MEET', '127.0.0.1', this.servers[0]!.port)
    for (const [index, { id }] of masters.entries()) {
      const replica = servers[index]!
      await until('the replica knows its master', async () => (await view(replica)).some((node) => node.id === id))
      await command(replica, 'CLUSTER', 'REPLICATE', id)
    }
    for (const replica of servers) {
      await until(
        'the replica follows',
        async () => (await command(replica, 'ROLE') as string[])[3] === 'connected'
      )
    }
  }

  async failOver (): Promise<void> {
    const before = await this.leader()
    const { id } = (await view(before)).find(({ port }) => port === before.port)!
    const [replica = ''] = await command(before, 'CLUSTER', 'REPLICAS', id) as string[]
    const port = Number(/:(\d+)@/.exec(replica)?.[1])
    await command(this.servers.find((server) => server.port === port)!, 'CLUSTER', 'FAILOVER')
    await until('the replica leads', async () => (await this.leader()).port === port)
  }

  /** Moves the slot of `feed/0` with what is in it to another master. */
  async migrate (): Promise<void> {
    const slot = Number(await command(this.servers[0]!, 'CLUSTER', 'KEYSLOT', `${PREFIX}{${FEEDS[0]}}`))
    const from = await this.leader()
    const to = (await this.masters()).find(({ port }) => port !== from.port)!
    const ids = new Map((await view(from)).map(({ id, port }) => [port, id]))
    await command(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids.get(from.port)!)
    await command(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids.get(to.port)!)
    for (;;) {
      const keys = await command(from, 'CLUSTER', 'GETKEYSINSLOT', slot, 1) as string[]
      if (keys.length === 0) break
      await command(from, 'MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys)
    }
    for (const server of [to, from]) await command(server, 'CLUSTER', 'SETSLOT', slot, 'NODE', ids.get(to.port)!)
  }

  protected async complete (): Promise<void> {
    for (const server of this.servers) {
      await until(
        'the cluster is complete',
        async () => String(await command(server, 'CLUSTER', 'INFO')).includes('cluster_state:ok')
      )
    }
  }
}

/** @returns whether the slot of `feed/0` was moved: only a cluster has slots */
export async function migrateSlot (broker: Broker): Promise<void> {
  if (!(broker instanceof ClusterRedis)) throw new Error('only a cluster has slots')
  await broker.migrate()
}

export async function startRedisBroker (
  t: Teardown,
  adapter: AdapterName,
  { isDurable = false, hasReplicas = false }: BrokerNeeds
): Promise<Broker> {
  const args = [...isDurable ? DURABLE : [], ...hasReplicas ? CAREFUL : []]
  if (adapter === 'redis') return new OneRedis(t, [await startRedis(t, ...args)])
  if (adapter === 'sentinel') return new SentinelRedis(t, await startSentinel(t, ...args))
  const masters = await startCluster(t, ...args)
  if (!hasReplicas) return new ClusterRedis(t, masters)
  const replicas = await Promise.all(masters.map(() => startClusterNode(t, ...args)))
  const broker = new ClusterRedis(t, [...masters, ...replicas])
  await broker.addReplicas(replicas)
  return broker
}
