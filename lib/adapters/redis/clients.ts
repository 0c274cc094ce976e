import type { Cluster, ClusterOptions, Redis, RedisOptions as ClientOptions } from 'ioredis'
import { REALTIME_ERR_ADAPTER } from '../../errors/misuse.js'
import { FIRST } from '../broker/patience.js'

/** Which servers to connect to: one of the first four, by default a server on this machine. */
export interface Servers {
  readonly url: string | undefined
  readonly client: Redis | Cluster | undefined
  readonly cluster: ReadonlyArray<{ readonly host: string, readonly port: number }> | undefined
  readonly sentinels: {
    readonly name: string
    readonly nodes: ReadonlyArray<{ readonly host: string, readonly port: number }>
  } | undefined
  readonly settings: Partial<ClientOptions>
  /** Milliseconds that one command may take. */
  readonly timeout: number
}

/** The connection to one server of a cluster. */
export interface Shard {
  readonly options: { readonly host?: string, readonly port?: number }
  readonly status: string
  on (event: 'ready', listener: () => void): unknown
  call (command: string, ...args: string[]): Promise<unknown>
  disconnect (): void
}

/** Where a server is reached that names itself by another address; the client's setting `natMap`. */
export type NatMap = ClusterOptions['natMap']

/** The part of ioredis that is used, the same for one server, Sentinel and Cluster. */
export interface Client {
  readonly status: string
  readonly isCluster?: boolean
  /** `redisOptions`, settings of the connections to its shards, and `natMap` only in a cluster. */
  readonly options?: { readonly db?: number | undefined, readonly redisOptions?: object, readonly natMap?: NatMap }
  /** Only in a cluster, whose types do not show it: makes the connections to its shards, from settings of its own. */
  readonly connectionPool?: { readonly redisOptions?: object }
  on (event: string, listener: (...args: never[]) => void): unknown
  connect (): Promise<void>
  disconnect (reconnect?: boolean): void
  call (command: string, ...args: Array<string | number>): Promise<unknown>
  evalsha (sha: string, keys: number, ...args: Array<string | number>): Promise<unknown>
  eval (lua: string, keys: number, ...args: Array<string | number>): Promise<unknown>
  ssubscribe (...channels: string[]): Promise<unknown>
  sunsubscribe (...channels: string[]): Promise<unknown>
  /** Only in a cluster: the shard that serves each slot, by `host:port`. */
  readonly slots?: ReadonlyArray<readonly string[] | undefined>
  /** Only in a cluster, whose types do not show it: asks which shard serves which slot. */
  refreshSlotsCache? (): void
  /** Only in a cluster: the connections to its shards. */
  nodes? (role: 'master'): readonly Shard[]
}

/** Requests' times after which a connection that brings messages, and was asked something, counts as dead. */
const SILENT = 3

/**
 * Makes a client for commands, and what makes one for subscriptions; neither is connected yet. They reconnect on their
 * own; their caller bounds each command.
 *
 * @param hasOpened whether the start has succeeded: until then a client gives up where no sentinel answers
 * @throws REALTIME_ERR_ADAPTER when the package ioredis is missing
 */
export async function makeClients (
  { url, client, cluster, sentinels, settings, timeout }: Servers,
  hasOpened: () => boolean
): Promise<[commands: Client, makeSubscriber: () => Client]> {
  const own = {
    ...settings,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    // Commands under way when a connection breaks are rejected at once, and their callers decide.
    maxRetriesPerRequest: 0,
    ...limitsOf(timeout * FIRST).each,
    // A frozen server does not answer a close either.
    disconnectTimeout: 100,
    retryStrategy,
    // A start fails when no sentinel answers. A client that gave up later would never come back.
    sentinelRetryStrategy: (times: number) => hasOpened() ? retryStrategy(times) : null,
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
    keyPrefix: '',
    stringNumbers: false,
    replyMapping: 'legacy' as const
  }
  const { lazyConnect: _lazy, retryStrategy: _retry, ...perNode } = own
  // Connections to shards are made at their first command, which has to wait for them; the bound of each command
  // ensures that it does not wait for ever.
  const clustered = {
    lazyConnect: true,
    enableOfflineQueue: true,
    retryDelayOnFailover: 0,
    // The client's own timer for it goes on for ever where the client is closed while it looks: see `lookAtSlots`.
    slotsRefreshInterval: 0,
    ...limitsOf(timeout * FIRST).cluster,
    keyPrefix: '',
    redisOptions: perNode
  }
  // Commands have a bound of their own. A connection to a shard that brings messages is known to the client alone.
  const subscribed = {
    ...clustered,
    shardedSubscribers: true,
    redisOptions: { ...perNode, socketTimeout: timeout * SILENT }
  }
  if (client !== undefined) {
    const copy = (isSubscriber: boolean): unknown => client.isCluster
      ? (client as Cluster).duplicate([], isSubscriber ? subscribed : clustered)
      : (client as Redis).duplicate(own)
    return [copy(false) as Client, () => copy(true) as Client]
  }
  const ioredis = await import('ioredis').catch((error: unknown) => {
    throw new REALTIME_ERR_ADAPTER(`redis() needs the package ioredis: npm install ioredis (${messageOf(error)})`)
  })
  if (cluster !== undefined) {
    const make = (isSubscriber: boolean): unknown => {
      return new ioredis.Cluster([...cluster], isSubscriber ? subscribed : clustered)
    }
    return [make(false) as Client, () => make(true) as Client]
  }
  const make = (): unknown => sentinels === undefined
    ? new ioredis.Redis(url ?? 'redis://127.0.0.1:6379', own)
    : new ioredis.Redis({ ...own, sentinels: [...sentinels.nodes], name: sentinels.name })
  return [make() as Client, () => make() as Client]
}

interface Limits { readonly each: Partial<ClientOptions>, readonly cluster: Partial<ClusterOptions> }

/** Milliseconds of the steps that lead to a connection, which have no other bound. */
function limitsOf (timeout: number): Limits {
  return {
    // A sentinel that stands still does not answer either, so the next one is asked.
    each: { connectTimeout: timeout, sentinelCommandTimeout: timeout },
    cluster: { slotsRefreshTimeout: timeout }
  }
}

/**
 * Sets how long each attempt to connect again may take: those of a start may take longer. The client reads its settings
 * at each attempt.
 *
 * @param timeout milliseconds
 */
export function limitAttempts ({ isCluster, options = {}, connectionPool }: Client, timeout: number): void {
  const { each, cluster } = limitsOf(timeout)
  Object.assign(options, isCluster === true ? cluster : each)
  Object.assign(options.redisOptions ?? {}, each)
  Object.assign(connectionPool?.redisOptions ?? {}, each)
}

/**
 * Has clients of a cluster look which shard serves which slot. A shard that stands still closes no connection, so only
 * a request shows that another has taken its place.
 */
export function lookAtSlots (...clients: readonly Client[]): void {
  for (const client of clients) if (client.status === 'ready') client.refreshSlotsCache?.()
}

/**
 * @returns milliseconds until the next attempt, a quarter of a second at most: who asks for a place waits two seconds
 *   for a broker whose connections break, and of these the last pause is lost
 */
function retryStrategy (times: number): number {
  return 50 * 2 ** Math.min(times, 2) * (0.75 + Math.random() / 2)
}

export function messageOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/**
 * Returns an error as it may be logged. The client puts the whole command beside it: the data of events, tickets, and
 * the password of the server.
 */
export function loggable (error: unknown): unknown {
  if (!(error instanceof Error) || !('command' in error)) return error
  const { name, message, stack, command } = error
  const kept = Object.assign(new Error(message), { command: (command as { name?: unknown } | undefined)?.name })
  Object.defineProperty(kept, 'name', { value: name })
  if (stack !== undefined) kept.stack = stack
  return kept
}
