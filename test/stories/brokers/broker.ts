import { FaultProxy } from '../../helpers/fault-proxy.js'
import { missing, type Server, type Teardown } from '../../helpers/servers.js'
import type { AdapterPlan } from './node-process.js'

export const ADAPTERS = ['redis', 'redis-cluster', 'sentinel', 'nats', 'nats-cluster'] as const
export type AdapterName = typeof ADAPTERS[number]

export type Data = 'all' | 'older' | 'none'

/** What a fault asks of the servers before the story begins. */
export interface BrokerNeeds {
  /** what is accepted survives a crash */
  readonly isDurable?: boolean
  /** each master of a cluster has a replica */
  readonly hasReplicas?: boolean
}

/** The way of one node to the broker: a link to each server that a fault can break. */
export interface Way {
  readonly proxies: readonly FaultProxy[]
  readonly adapter: AdapterPlan
}

/** The servers behind an adapter. */
export interface Broker {
  readonly adapter: AdapterName
  /** those that keep data */
  readonly servers: readonly Server[]
  /** milliseconds that a request of a node may take */
  readonly timeout: number
  /** proxies in front of the servers, for one node */
  way (): Promise<Way>
  /** Keeps a copy of the data as it is now, for `restart('older')`. */
  snapshot (): Promise<void>
  /** All servers crash and come back after `pause` milliseconds, with all data, those of the snapshot or none. */
  restart (data: Data, pause: number): Promise<void>
  /** the server that leads what the room `feed/0` is kept in */
  leader (): Promise<Server>
  /** Hands the lead of `feed/0` over to another server, in good order; resolves when that leads. */
  failOver (): Promise<void>
  /** Deletes what holds the history of the rooms, under running nodes. */
  deleteHistory (): Promise<void>
  /** Resolves when all that the servers keep has a leader; absent where they are whole as soon as they answer. */
  whole? (): Promise<void>
}

/** Why an adapter cannot be tried on this machine; `false` when it can. */
export function missingServer (adapter: AdapterName): string | false {
  return missing(adapter.startsWith('nats') ? 'nats-server' : 'redis-server')
}

/** One proxy before each server. */
export async function proxiesOf (
  t: Teardown,
  servers: readonly Server[]
): Promise<{ proxies: FaultProxy[], ports: number[] }> {
  const proxies = servers.map(({ port }) => new FaultProxy(port))
  const ports = await Promise.all(proxies.map((proxy) => proxy.listen()))
  t.teardown(async () => { await Promise.all(proxies.map((proxy) => proxy.close())) })
  return { proxies, ports }
}

/** All servers end without a word, and start again behind `between`. */
export async function crash (servers: readonly Server[], between: () => Promise<unknown>): Promise<void> {
  await Promise.all(servers.map((server) => server.kill()))
  await between()
  await Promise.all(servers.map((server) => server.start()))
}
