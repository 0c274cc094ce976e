import type { Adapter } from '../../lib/adapters/adapter.js'
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
  readonly make: (port: number, options?: { readonly timeout?: number }) => Adapter
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
