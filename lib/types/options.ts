import type { FastifyJWTOptions } from '@fastify/jwt'
import type { WebsocketPluginOptions } from '@fastify/websocket'
import type { FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { Adapter } from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { ApiOptions } from './api-options.js'
import type { User } from './user.js'

/**
 * Where a request carries its credential: the header `authorization`, the list of subprotocols, `?ticket=`, a cookie,
 * or `?token=`.
 */
export type Carrier = 'header' | 'subprotocol' | 'ticket' | 'cookie' | 'query'

/** Somebody who was refused, as `onRefused` is told. */
export interface RefusedPeer {
  /** A word of the table of codes, or the code of the application's own error. */
  code: string
  /** What the peer is told. */
  message: string
  /** The address of the client, as `trustProxy` gives it. It is empty where there is none. */
  address: string
  /** The user, once it is known who asks. */
  userId?: string
  /** The name of the key, of a program that uses the server API. */
  apiKey?: string
  /** The room, where one was asked for. */
  room?: string
  /** The request. It is absent for frames, and for upgrades that no route has seen. */
  request?: FastifyRequest
}

/** How users prove who they are. */
export interface AuthOptions {
  /**
   * Where a credential is looked for, in this order: the first one found counts.
   *
   * @default ['header', 'subprotocol', 'ticket']
   */
  carriers?: Carrier[]
  /** Name of the cookie that carries the token. It is needed with the carrier `cookie`, and refused without it. */
  cookie?: string
  /** The credentials for one use that `POST <prefix>/ticket` gives. */
  ticket?: {
    /** Milliseconds within which a ticket has to be used. @default 30_000 */
    ttl?: number
  }
  /** Whether a credential without an expiry (`exp`) is refused with `unauthorized`. @default true */
  requireExp?: boolean
}

/** What one connection, one user, one address and the node may use. */
export interface LimitOptions {
  /** Connections of one user, on all nodes where the adapter keeps leases. */
  user?: {
    /** How many connections one user may have. @default 20 */
    connections: number
    /**
     * What becomes of one more: it is refused with `user_limit`, or the oldest is closed with `replaced`, on whichever
     * node it is. It is refused all the same where for two seconds none could give way, because all are still being
     * opened or of a node that does not answer.
     *
     * @default 'reject'
     */
    then: 'reject' | 'replace'
  }
  /** Connections from one address on this node; one more is refused with `address_limit`. @default no limit */
  address?: number
  /**
   * Upgrades under way at once, from the request to the WebSocket or its refusal. A loopback or private address that no
   * proxy vouches for may be a proxy with all its clients, and counts against the total alone.
   */
  pending?: {
    /** Upgrades in all; one more is refused with `server_full`. @default 1_000 */
    total?: number
    /**
     * Upgrades of one client's address, as `trustProxy` gives it; one more is refused with `address_limit`.
     *
     * @default 64
     */
    address?: number
  }
  /**
   * Rooms of one connection; one more is refused with `room_limit`. A stream or a poll has 32 at most.
   *
   * @default 128
   */
  rooms?: number
  /** Bytes of a message; a larger one is refused with `message_too_large`. @default 65_536 */
  message?: number
  /**
   * Messages of one connection, control frames included, and of one user's HTTP requests and openings together. More
   * are refused with `rate_limited`; a poll that comes faster waits.
   *
   * @default { messages: 50, burst: 100 }
   */
  rate?: {
    /** Messages per second. */
    messages: number
    /** Messages that may come at once, after a silence. */
    burst: number
  }
  /**
   * Bytes of an event, below `outbox`; a broadcast of a larger one rejects with `REALTIME_ERR_EVENT`.
   *
   * @default 262_144
   */
  event?: number
  /**
   * Bytes that wait for one connection. Beyond them it is cut with `slow_consumer`, and can resume.
   *
   * @default 1_048_576
   */
  outbox?: number
  /**
   * Bytes of message ids with their outcomes and of idempotency keys, which are kept for two minutes. What is forgotten
   * before its time would run again if it were repeated; it is counted in the stats, and logged once a minute.
   */
  remembered?: {
    /** Bytes of all users; beyond them one of those who hold most loses his oldest. @default 67_108_864 */
    bytes?: number
    /** Bytes of one user, who loses his own oldest beyond them. @default 4_194_304 */
    perUser?: number
  }
  /**
   * Whether somebody is let in while the adapter cannot be asked about limits of several nodes and about revocations;
   * `refuse` answers with `unavailable`.
   *
   * @default 'admit'
   */
  whenUnavailable?: 'admit' | 'refuse'
}

/** Who may see the stats, and what they are counted in. */
export interface StatsOptions {
  /** Who may see them. @default a user whose `role` is `admin` */
  authorize?: (user: User, request: FastifyRequest) => Awaitable<boolean>
  /** A bearer that is let in without asking `authorize`, for scrapers. @default none */
  token?: string
  /**
   * Whether admins may act from the dashboard: end a connection, keep a user out, drain a node. The bearer `token` may
   * not, and a node obeys others only where it has this on as well.
   *
   * @default false
   */
  actions?: boolean
  /** The registry of prom-client that the metrics are added to. @default a registry of our own */
  register?: unknown
}

/** Milliseconds that a step may take. */
export interface TimeoutOptions {
  /**
   * A message handler. The message is answered with `timeout` when it takes longer; so is who enters a room whose
   * `authorize`, `onJoin` or `presence` does.
   *
   * @default 30_000
   */
  handler?: number
  /**
   * `authenticate` with `userId`, the fetch of a secret, `authorize` of the stats and of the server API; what takes
   * longer is answered with `unavailable`.
   *
   * @default 5_000
   */
  authentication?: number
  /** From the request of an upgrade to its handshake; it is refused with `timeout` then. @default 10_000 */
  upgrade?: number
  /** The closing handshake; the socket is destroyed then. @default 5_000 */
  close?: number
  /**
   * For which a peer may take less than 16 KiB of an answer of a POST, a poll or the stats: its socket is ended then. A
   * WebSocket or stream whose link takes as little for as long is cut with `slow_consumer`. A poll's connection keeps
   * its slots until then. Over HTTP/2 nobody knows for sure how much is taken of an answer that a hook of the app makes
   * a stream of, as compression does.
   *
   * @default 30_000
   */
  write?: number
}

/** What of Fastify's route options is merged into all routes of the plugin. */
export type SharedRouteOptions = Pick<RouteShorthandOptions,
  | 'config'
  | 'constraints'
  | 'logLevel'
  | 'onRequest'
  | 'preValidation'
  | 'preHandler'> & {
    /** What the documentation of the app's routes shows of the plugin's routes. */
    schema?: {
      /** The tags of the routes. */
      tags?: string[]
      /** Whether the routes are left out. */
      hide?: boolean
      /** names of the app's security schemes, for the routes that need a credential. @default none is said */
      security?: ReadonlyArray<Readonly<Record<string, readonly string[]>>>
    }
  }

/**
 * The options of the plugin. An unknown or wrong one is refused when the plugin is registered, with
 * `REALTIME_ERR_OPTIONS` and its path; what the app has registered and does not fit, with `REALTIME_ERR_PLUGIN`.
 */
export interface RealtimeOptions {
  /** Where all URLs of the plugin begin, below the prefix of the scope. @default '/ws' */
  prefix?: string
  /**
   * The server API: routes below `<prefix>/api`, by which other programs publish, read and revoke. Each key that is too
   * short, twice there, or for rooms that no definition has, is refused at start with `REALTIME_ERR_OPTIONS`.
   *
   * @default there is none
   */
  api?: ApiOptions
  /** Options of @fastify/jwt, where the app has not registered it. @default the app's own @fastify/jwt */
  jwt?: FastifyJWTOptions
  /** Options of @fastify/websocket, where the app has not registered it. @default {} */
  websocket?: WebsocketPluginOptions
  /**
   * Milliseconds between pings. A connection that has not answered within 0.4 of it is ended with `heartbeat_timeout`.
   *
   * @default 25_000
   */
  heartbeat?: number
  /** Compression of WebSockets (permessage-deflate). @default false */
  compression?: false | {
    /** Bytes from which on a frame is compressed. @default 512 */
    threshold?: number
  }
  /** The layer between nodes. @default `memory()`, for one node */
  adapter?: Adapter
  /**
   * Whether events, replies and member data are checked against their schemas.
   *
   * @default true unless `NODE_ENV` is `production`
   */
  validateOutput?: boolean
  /**
   * Says who is asking. `null` refuses with `unauthorized`; so does an error with a 4xx `statusCode`, any other error
   * with `unavailable`. `token` is what the carriers gave, without one `undefined`.
   *
   * @default @fastify/jwt
   */
  authenticate?: (request: FastifyRequest, token: string | undefined) => Awaitable<User | null>
  /**
   * The id of a user: a string that makes a room's name, without control characters and at most 249 bytes after
   * `encodeURIComponent`. Another one refuses with `unauthorized`.
   *
   * @default (user) => user.sub
   */
  userId?: (user: User) => string
  /** How users prove who they are. */
  auth?: AuthOptions
  /**
   * Pages that may use the server. Others are refused with `origin_refused`. `'same'` is the server's own. With the
   * carrier `cookie` it has to be written out, and may not be `'any'`.
   *
   * @default 'same'
   */
  origins?: 'same' | 'any' | string[] | ((origin: string, request: FastifyRequest) => boolean)
  /** Connections on this node; one more is refused with `server_full`. @default 10_000 */
  capacity?: number
  /**
   * Told of everybody who is refused, by HTTP status or by `error` frame; not of ends of connections. What it throws is
   * logged.
   *
   * @default nobody is told
   */
  onRefused?: (refused: RefusedPeer) => Awaitable<void>
  /**
   * Told when a user has the first connection on any node. It runs on one node; on another one again, where that node
   * died while it ran. What it throws is logged, and it has `timeouts.handler`. Set it on all nodes or on none; the
   * adapter needs presence and claims.
   *
   * @default nobody is told
   */
  onOnline?: (user: {
    /** the id of the user */
    userId: string
  }) => Awaitable<void>
  /**
   * Told when the last connection of a user on any node has been gone for `presence.grace`, or the last node that had
   * one has been dead for `presence.lease`. It runs as `onOnline` does, and maybe at the same time.
   *
   * @default nobody is told
   */
  onOffline?: (user: {
    /** the id of the user */
    userId: string
  }) => Awaitable<void>
  /** What one connection, one user, one address and the node may use. */
  limits?: LimitOptions
  /**
   * Events that are kept for those who come back, in rooms that do not say otherwise. `false` keeps none there: each
   * event is delivered at most once.
   */
  history?: {
    /** Events of one room; the oldest is dropped for a new one. @default 100 */
    size?: number
    /** Milliseconds for which an event is kept. @default 300_000 */
    ttl?: number
    /**
     * Bytes of the events and `latest` values of all rooms of this process; beyond them one of the rooms that hold most
     * loses its oldest.
     *
     * @default 67_108_864
     */
    bytes?: number
  } | false
  /** For how long members are shown who left without saying so. */
  presence?: {
    /** Milliseconds from a lost connection to its leave; with 0 the leave is told at once. @default 15_000 */
    grace?: number
    /** Milliseconds for which the entries of a node are shown that renews them no more. @default 60_000 */
    lease?: number
  }
  /** The routes `stats` below the prefix; `false` leaves them out. */
  stats?: StatsOptions | false
  /** The route `client.js` below the prefix, which has the client library for pages without a bundler. @default true */
  client?: boolean
  /** The end of all connections when the app closes. */
  drain?: {
    /** Connections that end in one second. @default 500 */
    rate?: number
    /** Milliseconds after which all are ended. @default 20_000 */
    timeout?: number
  }
  /** Milliseconds that a step may take. */
  timeouts?: TimeoutOptions
  /** Server-Sent Events. */
  sse?: {
    /** Milliseconds between the comments that keep a silent stream open. @default 15_000 */
    comment?: number
    /** Milliseconds after which a stream ends and its client opens another one, 20 % more or less. @default 300_000 */
    age?: number
  }
  /** From which figures on `GET <prefix>/health?deep=1` answers with 503. */
  health?: {
    /**
     * Milliseconds by which the event loop may be late: the slowest hundredth of the last 15 to 30 seconds.
     *
     * @default 1_000
     */
    loopDelay?: number
    /** Percent of `capacity` that may be taken; at so many it is full. @default 100 */
    capacity?: number
  }
  /** Traces, which `fastify-realtime/otel` makes. */
  tracing?: {
    /** Whether live events tell clients the `traceparent` of what has published them. @default false */
    toClients?: boolean
  }
  /** What is merged into all routes of the plugin. */
  route?: SharedRouteOptions
}
