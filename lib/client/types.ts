import type { Address, AnyMessages } from '../contract/types.js'
import type { Retry } from '../protocol/codes.js'
import type { ListenOptions } from './listeners.js'

/**
 * What every rejection and every `error` of this library is: an `Error` with a code of the table, or of our own:
 * `closed`, `left`, `queue_full`; and of links that do not open `unreachable`, `timeout`, `cors_refused`,
 * `certificate_invalid`, `transport_blocked`.
 */
export interface RealtimeError extends Error {
  readonly code: string
  readonly retry?: Retry
  /** milliseconds */
  readonly retryAfter?: number
  readonly room?: string
  readonly details?: ReadonlyArray<{ readonly path: string, readonly message: string }>
  /** failures in a row, this one included; absent when it is not tried again */
  readonly attempt?: number
  /** milliseconds until the next attempt */
  readonly retryIn?: number
  readonly transport?: Transport
  /** what the platform threw, where it did */
  readonly cause?: unknown
}

export type Transport = 'websocket' | 'sse' | 'polling'

/** One event of a room. `timestamp` is Unix milliseconds; `offset` is absent for `latest` and `volatile` events. */
export type RoomEvent<E> = { [K in keyof E & string]: {
  type: K
  data: E[K]
  offset?: number
  timestamp: number
} }[keyof E & string]

/** One user in a room. */
export interface Member<D> { readonly userId: string, readonly data: D }

/** A room as the client sees it. It outlives links: after each break it is joined again at its position. */
export interface ClientRoom<M extends AnyMessages, E, D> extends AsyncIterable<RoomEvent<E>> {
  readonly name: string
  /** Resolves at the first join; rejects with a code when the room is refused for good or left before. */
  readonly joined: Promise<{ resumed?: boolean }>
  /** Who is here, by user id, kept up to date; empty for a room without presence and above 200 members. */
  readonly members: ReadonlyMap<string, Member<D>>
  /** Listens; what it returns undoes it. An acknowledged event is acked when what the listeners return has settled. */
  on<K extends keyof E & string> (
    event: K,
    listener: (event: Extract<RoomEvent<E>, { type: K }>) => void,
    options?: { signal?: AbortSignal, once?: boolean }
  ): () => void
  on (
    event: '*',
    listener: (event: RoomEvent<E>) => void,
    options?: { signal?: AbortSignal, once?: boolean }
  ): () => void
  on (event: 'presence', listener: (change: { joined: Member<D>[], left: Member<D>[] }) => void): () => void
  /**
   * Sends a message, now or when the link is back, in the order of the calls and to one effect. Resolves with the typed
   * reply.
   *
   * `timeout`: milliseconds until it rejects with `timeout`, default `queue.age`. After that, or an abort, it may still
   * have taken effect.
   */
  send<K extends keyof M & string> (message: K, data: M[K]['data'], options?: SendOptions): Promise<M[K]['reply']>
  /** Leaves for good; messages not yet acked reject with `left`. */
  leave (): Promise<void>
}

export interface SendOptions { signal?: AbortSignal, timeout?: number }
export interface JoinOptions { last?: number, since?: { epoch: string, offset: number }, signal?: AbortSignal }

export interface Client {
  /**
   * Id of the link that stands; to be sent as `x-connection-id` with requests whose events this client need not hear.
   */
  readonly connectionId: string | undefined
  readonly state: 'connecting' | 'open' | 'reconnecting' | 'closed'
  /** Who the server takes us for, once it has said so. */
  readonly userId: string | undefined
  /** The transport in use, or that is tried. */
  readonly transport: Transport
  /**
   * Joins a room; the room is returned at once, the same one when it has been joined already.
   *
   * `since`: go on behind this position. `last`: replay the last n events at the first join. `signal`: leaves.
   */
  join<M extends AnyMessages, E, D> (room: Address<M, E, D>, options?: JoinOptions): ClientRoom<M, E, D>
  /** Once for each failure of the link, refusal of the client or refusal of a room; `room` names the room. */
  on (event: 'error', listener: (error: RealtimeError) => void, options?: ListenOptions): () => void
  /**
   * `state`: it changed. `gap`: events of a room were lost, load it again. `joined`, `left`: the server put us into a
   * room, to be heard by `join`ing it (over polls it ends with the answer), or took us out of one.
   */
  on (
    event: 'state' | 'error' | 'gap' | 'joined' | 'left',
    listener: (detail: { state?: string, code?: string, message?: string, room?: string }) => void,
    options?: ListenOptions
  ): () => void
  /** Opens another link at once, whatever the state. After the end rooms have to be joined anew. */
  reconnect (): void
  /** Ends everything; what waits rejects with `closed`. */
  close (): void
}

export interface ConnectOptions {
  /** A token, or what gets a fresh one: asked before each link and before the token expires. Default: none (cookie). */
  token?: string | (() => string | Promise<string>)
  /** In order of preference; default `['websocket', 'sse', 'polling']`. */
  transports?: Transport[]
  /**
   * Messages not yet acked, at most: `messages` (default 1 000), `bytes` (default 1 048 576), each for `age`
   * milliseconds (default 60 000). When it is full: `overflow: 'reject'` (default) rejects the new one, `'drop-oldest'`
   * the oldest, with `queue_full`.
   */
  queue?: { messages?: number, bytes?: number, age?: number, overflow?: 'reject' | 'drop-oldest' }
  /** Milliseconds that a link may take to open, or be silent beyond the server's heartbeat. Default 10 000. */
  timeout?: number
  /** Closes the client. */
  signal?: AbortSignal
  /** Where the platform has none; default: the package `ws`, when present. */
  WebSocket?: unknown
  fetch?: typeof fetch
}
