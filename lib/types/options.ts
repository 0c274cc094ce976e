import type { FastifyBaseLogger, FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { FastifyJWTOptions } from '@fastify/jwt'
import type { WebsocketPluginOptions } from '@fastify/websocket'
import type { Adapter } from '../adapters/adapter.js'
import type { AnyAddress, AnyMessages, Definition, EventData, EventName } from '../contract/types.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { Position } from '../protocol/position.js'

/**
 * Says once what a user is:
 * `declare module 'fastify-realtime' { interface RealtimeTypes { user: Ada } }`. Default: what @fastify/jwt says
 * `request.user` is.
 */
export interface RealtimeTypes { }
export type User = RealtimeTypes extends { user: infer U } ? U : FastifyRequest['user']

export interface BroadcastOptions {
  /** id of a connection that is left out, e.g. `sender` */
  except?: string | undefined
  /** a second broadcast with the same key within two minutes adds no event */
  idempotencyKey?: string | undefined
}

/** The room in which a handler runs. */
export interface RoomHandle<E> {
  readonly name: string
  /** Resolves when the event was accepted and handed to this node's members. */
  broadcast<K extends keyof E & string> (
    event: K,
    data: E[K],
    options?: BroadcastOptions
  ): Promise<{ position?: Position, recipients: number }>
}

export interface Connection<E> {
  readonly id: string
  /** One event to this connection alone, without offset; goes out behind the join's ack and replay. */
  send<K extends keyof E & string> (event: K, data: E[K]): void
}

export interface RoomContext<P, E> {
  readonly params: P
  readonly user: User
  readonly userId: string
  readonly room: RoomHandle<E>
  readonly log: FastifyBaseLogger
}
export interface JoinContext<P, E> extends RoomContext<P, E> {
  readonly connection: Connection<E>
  readonly resumed: boolean
}
export interface LeaveContext<P, E> extends RoomContext<P, E> {
  /** `left`, `gone`, or a word of the code table */
  readonly code: string
}
export interface MessageContext<P, E, D> extends RoomContext<P, E> {
  readonly data: D
  /** connection id; over HTTP the verified `x-connection-id`, if any */
  readonly sender: string | undefined
  readonly messageId: string | undefined
}

export type Handlers<P, M extends AnyMessages, E, This = FastifyInstance> = { [K in keyof M]: (
  this: This,
  context: MessageContext<P, E, M[K]['data']>
) => Awaitable<M[K]['reply']> }
/** Handlers in a file of their own: `const on: HandlersOf<typeof chat> = { ... }`. */
export type HandlersOf<R> = R extends Definition<string, infer P, infer M extends AnyMessages, infer E, unknown>
  ? Handlers<P, M, E>
  : never

export type RoomOptions<P, M extends AnyMessages, E, D, This> = {
  /** connections in one room; on all nodes where the adapter keeps leases */
  capacity?: number
  /** events kept for resume, default `{ size: 100, ttl: 300_000 }`; `false`: at most once */
  history?: { size?: number, ttl?: number } | false
  /** bytes of a message, and messages per second of one connection in this room */
  limits?: { message?: number, rate?: { messages: number, burst: number } }
  /** milliseconds that events may wait for others, so that they leave as one write */
  flush?: number
  /**
   * who may enter; asked at every entry: URL, join, resume, poll, uplink, refresh. Default: every authenticated user
   */
  authorize?: (this: This, context: { user: User, userId: string, params: P }) => Awaitable<boolean>
  /** runs before the join's ack; refuses by throwing */
  onJoin?: (this: This, context: JoinContext<P, E>) => Awaitable<void>
  onLeave?: (this: This, context: LeaveContext<P, E>) => Awaitable<void>
} & ([D] extends [undefined]
  ? { presence?: boolean }
  : { presence: (context: { user: User, userId: string, params: P }) => D })
  & ([keyof M] extends [never] ? { on?: Handlers<P, M, E, This> } : { on: Handlers<P, M, E, This> })

export type Target = { user: string } | { connection: string }

export interface Rooms {
  /**
   * To every member on every node. `recipients`: members on this node. A failure without `await` is logged, never an
   * unhandled rejection.
   */
  broadcast<R extends string | AnyAddress, K extends EventName<R>> (
    room: R,
    event: K,
    data: EventData<R, K>,
    options?: BroadcastOptions
  ): Promise<{ position?: Position, recipients: number }>
  /**
   * Delivered live only; resolves when all have answered, or after `timeout` ms (default 10 000; `Infinity`: when all
   * have). The lists are user ids, one for each connection.
   */
  broadcastWithAck<R extends string | AnyAddress, K extends EventName<R>> (
    room: R,
    event: K,
    data: EventData<R, K>,
    options?: BroadcastOptions & { timeout?: number }
  ): Promise<{ acked: string[], missing: string[], left: string[], unknown: number }>
  /** Short for a broadcast to `@all`. */
  broadcastAll (event: string, data: unknown): Promise<{ position?: Position, recipients: number }>
  /** Short for a broadcast to `@user/<id>`. */
  sendToUser (userId: string, event: string, data: unknown): Promise<{ position?: Position, recipients: number }>
  /** Puts connections into a room, without `authorize`, for as long as they live; resolves with the number touched. */
  join (target: Target, room: string | AnyAddress): Promise<number>
  leave (target: Target, room: string | AnyAddress): Promise<number>
  /** `latency` in milliseconds; default timeout 5 000. */
  ping (target: Target, options?: { timeout?: number }): Promise<{ alive: boolean, latency?: number }>
  /**
   * Closes with a final code on every node and keeps out until `until` (Unix ms, default in one hour). Resolves with
   * the number closed here.
   */
  revoke (target: Target | { tokenId: string }, options?: { message?: string, until?: number }): Promise<number>
  /** @throws REALTIME_ERR_PRESENCE_OFF for a room without presence */
  members (room: string | AnyAddress): Promise<Array<{ userId: string, data: unknown }>>
  /** Users in a room. @throws REALTIME_ERR_PRESENCE_OFF for a room without presence */
  count (room: string | AnyAddress): Promise<number>
  isOnline (userId: string): Promise<boolean>
  history (
    room: string | AnyAddress,
    options?: { since?: Position, limit?: number }
  ): Promise<{
    position: Position
    resumed: boolean
    events: Array<{ type: string, data: unknown, offset: number, timestamp: number }>
  }>
  /** `false` from the beginning of a drain. */
  isAccepting (): boolean
  /** The drain of `app.close()`, by hand; a second call with a shorter timeout shortens the first. */
  drain (options?: { timeout?: number }): Promise<void>
  /** The object of `/ws/stats`. */
  stats (): Promise<Record<string, unknown>>
}

export type Carrier = 'header' | 'subprotocol' | 'ticket' | 'cookie' | 'query'

export interface RealtimeOptions {
  /** default `/ws` */
  prefix?: string
  /** options of @fastify/jwt, where the app has not registered it */
  jwt?: FastifyJWTOptions
  /** options of @fastify/websocket, where the app has not registered it */
  websocket?: WebsocketPluginOptions
  /** milliseconds between pings, default 25 000; an answer may take 0.4 of it */
  heartbeat?: number
  compression?: false | { threshold?: number }
  adapter?: Adapter
  /** check events, replies and member data against their schemas; default: outside production */
  validateOutput?: boolean
  authenticate?: (request: FastifyRequest, token: string | undefined) => Awaitable<User | null>
  /** default: `user.sub` */
  userId?: (user: User) => string
  auth?: { carriers?: Carrier[], cookie?: string, ticket?: { ttl?: number }, requireExp?: boolean }
  origins?: 'same' | 'any' | string[] | ((origin: string, request: FastifyRequest) => boolean)
  /** connections per node */
  capacity?: number
  /**
   * Told of everybody who is refused, by HTTP status or by `error` frame; not of ends of connections. `request` is
   * absent for frames, and for upgrades that no route has seen. What it throws is logged.
   */
  onRefused?: (refused: {
    code: string
    message: string
    address: string
    userId?: string
    room?: string
    request?: FastifyRequest
  }) => Awaitable<void>
  limits?: {
    user?: { connections: number, then: 'reject' | 'replace' }
    address?: number
    /**
     * Upgrades under way at once, from the request to the WebSocket or its refusal: in all (default 1 000, then
     * `server_full`) and of one client's address as `trustProxy` gives it (default 64, then `address_limit`). A
     * loopback or private address that no proxy vouches for may be a proxy with all its clients, and counts against the
     * total alone.
     */
    pending?: { total?: number, address?: number }
    rooms?: number
    message?: number
    rate?: { messages: number, burst: number }
    event?: number
    outbox?: number
    /**
     * Bytes of message ids with their outcomes and of idempotency keys, which are kept for two minutes: in total,
     * default 64 MiB, and of one user, default 4 MiB. Over his own bound a user's oldest is forgotten, over the total
     * the oldest of one who holds most: it would run again if it were repeated. Counted in the stats, logged once a
     * minute.
     */
    remembered?: { bytes?: number, perUser?: number }
    whenUnavailable?: 'admit' | 'refuse'
  }
  history?: { size?: number, ttl?: number, bytes?: number } | false
  presence?: { grace?: number, lease?: number }
  stats?: {
    authorize?: (user: User, request: FastifyRequest) => Awaitable<boolean>
    token?: string
    register?: unknown
  } | false
  drain?: { rate?: number, timeout?: number }
  /** milliseconds: of a message handler, of authentication, of an upgrade, of the closing handshake */
  timeouts?: {
    handler?: number
    authentication?: number
    upgrade?: number
    close?: number
    /**
     * An answer (of a POST, a poll, the stats) that its peer has not taken after so many milliseconds, default 30 000,
     * ends its socket; a WebSocket or stream whose link takes nothing for as long is cut with `slow_consumer`. A poll's
     * connection keeps its slots until then.
     */
    write?: number
  }
  /** SSE: milliseconds between comments, and of a stream's life (+- 20 %) */
  sse?: { comment?: number, age?: number }
  route?: Pick<RouteShorthandOptions,
    | 'config'
    | 'constraints'
    | 'logLevel'
    | 'onRequest'
    | 'preValidation'
    | 'preHandler'> & {
      schema?: {
        tags?: string[]
        hide?: boolean
      }
    }
}
