import type { Adapter } from '../../lib/adapters/adapter.js'
import { clusterBy } from '../../lib/adapters/cluster/adapter.js'
import { Host } from '../../lib/adapters/cluster/host.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { startNats, startRedis, type Server, type Teardown } from './servers.js'

/** A broker that nodes are tried on. */
export interface Broker {
  readonly name: string
  /** the program that has to be on this machine */
  readonly program: string
  readonly start: (t: Teardown) => Promise<Server>
  /** @param port of the server, or of a proxy in front of it */
  readonly make: (port: number, options?: { readonly timeout?: number, readonly idempotency?: number }) => Adapter
}

export const REDIS: Broker = {
  name: 'redis',
  program: 'redis-server',
  start: startRedis,
  make: (port, options) => redis({ url: `redis://127.0.0.1:${port}`, ...options })
}

export const NATS: Broker = {
  name: 'nats',
  program: 'nats-server',
  start: startNats,
  make: (port, options) => nats({ url: `nats://127.0.0.1:${port}`, ...options })
}

export const BROKERS: readonly Broker[] = [REDIS, NATS]

/** What a primary keeps for its workers, by the number that stands for the port of a server. */
const hosts = new Map<number, { readonly host: Host, readonly name: string }>()
let workers: Host | undefined

function startHost (host: Host): Server {
  const port = hosts.size + 1
  const name = `application-${port}`
  hosts.set(port, { host, name })
  const never = async (): Promise<never> => { throw new Error('a primary is not stopped here') }
  return {
    port,
    url: `cluster:${name}`,
    directory: '',
    start: never,
    kill: never,
    stop: never,
    pause: never,
    resume: () => { throw new Error('a primary is not stopped here') }
  }
}

/** Adapters that share what a primary keeps, all in this process. */
export const CLUSTER: Broker = {
  name: 'cluster',
  program: 'node',
  start: async (t) => {
    const host = new Host()
    t.teardown(() => host.close())
    return startHost(host)
  },
  make: (port, options) => {
    const { host, name } = hosts.get(port)!
    return clusterBy(host.local(), { name, ...options })
  }
}

/** The same for workers that are processes of their own, beside adapters of this process, which is their primary. */
export const WORKERS: Broker = {
  ...CLUSTER,
  start: async () => {
    if (workers === undefined) {
      workers = new Host()
      workers.listen()
    }
    return startHost(workers)
  }
}
