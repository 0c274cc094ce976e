import type { Address, AnyMessages } from '../contract/types.js'
import type { Retry } from '../protocol/codes.js'
import type { ListenOptions } from './listeners.js'

/**
 * What every rejection and every `error` of this library is: an `Error` with a code of the table, or of our own:
 * `closed`, `left`, `queue_full`; and of links that do not open `unreachable`, `timeout`, `cors_refused`,
 * `certificate_invalid`, `transport_blocked`.
 */
export interface RealtimeError extends Error {
  /** What went wrong: a code of the server's table, or one of this library's own. */
  readonly code: string
  /** Whether the same may be tried again: `now`, with `backoff`, after a `refresh` of the credential, or `never`. */
  readonly retry?: Retry
  /** Milliseconds that the server asks to wait before the same is tried again. */
  readonly retryAfter?: number
  /** The room that was refused; absent when the client as a whole was. */
  readonly room?: string
  /** What does not fit the schema, of a message that was refused `invalid_message`. */
  readonly details?: ReadonlyArray<{
    /** Where in the data, as a JSON pointer. */
    readonly path: string
    /** What is wrong there. */
    readonly message: string
  }>
  /** Failures in a row, this one included; absent when it is not tried again. */
  readonly attempt?: number
  /** Milliseconds until the next attempt. */
  readonly retryIn?: number
  /** The transport whose link failed, or over which the refusal came. */
  readonly transport?: Transport
  /** What the platform threw, where it did. */
  readonly cause?: unknown
}

/** How a link carries frames: a WebSocket, a stream of Server-Sent Events with POSTs, or long polls with POSTs. */
export type Transport = 'websocket' | 'sse' | 'polling'

/** One event of a room. */
export type RoomEvent<E> = { [K in keyof E & string]: {
  /** The name of the event. */
  type: K
  /** What the server sent, as the contract types it; the client does not validate it again. */
  data: E[K]
  /** The place in the room's stream, which increases within one epoch; absent for `latest` and `volatile` events. */
  offset?: number
  /** When it was published, in Unix milliseconds by the clock of the publishing node. */
  timestamp: number
} }[keyof E & string]

/** One user in a room. */
export interface Member<D> {
  /** The user's id, as the server knows it. */
  readonly userId: string
  /** What the room's `presence` option shows of the user. */
  readonly data: D
}

/** A room as the client sees it. It outlives links: after each break it is joined again at its position. */
export interface ClientRoom<M extends AnyMessages, E, D> extends AsyncIterable<RoomEvent<E>> {
  /** The name of the room, each param encoded. */
  readonly name: string
  /** Resolves at the first join; rejects with a code when the room is refused for good or left before. */
  readonly joined: Promise<{
    /** Whether nothing was lost behind `since`; absent where none was given. */
    resumed?: boolean
  }>
  /** Who is here, by user id, kept up to date; empty for a room without presence and above 200 members. */
  readonly members: ReadonlyMap<string, Member<D>>
  /** Listens; what it returns undoes it. An acknowledged event is acked when what the listeners return has settled. */
  on<K extends keyof E & string> (
    event: K,
    listener: (event: Extract<RoomEvent<E>, { type: K }>) => void,
    options?: { signal?: AbortSignal, once?: boolean }
  ): () => void
  /** Listens to every event of the room, in order. */
  on (
    event: '*',
    listener: (event: RoomEvent<E>) => void,
    options?: { signal?: AbortSignal, once?: boolean }
  ): () => void
  /** Listens to who comes and goes, after `members` has been brought up to date. */
  on (event: 'presence', listener: (change: {
    /** Users who were not here before. */
    joined: Member<D>[]
    /** Users of whom no connection is here any more. */
    left: Member<D>[]
  }) => void): () => void
  /**
   * Sends a message, now or when the link is back, in the order of the calls and to one effect. Resolves with the typed
   * reply.
   *
   * @throws RealtimeError with the code of the refusal; `timeout`, `queue_full`, `left` or `closed`
   */
  send<K extends keyof M & string> (message: K, data: M[K]['data'], options?: SendOptions): Promise<M[K]['reply']>
  /** Leaves for good; messages not yet acked reject with `left`. */
  leave (): Promise<void>
}

/** Options of one message. */
export interface SendOptions {
  /** Gives the message up: the call rejects. The message may have taken effect all the same. */
  signal?: AbortSignal
  /**
   * Milliseconds until the call rejects with `timeout`, when the message may have taken effect all the same.
   *
   * @default queue.age
   */
  timeout?: number
}

/** Options of a join. */
export interface JoinOptions {
  /** Replays the newest events at the first join, at most so many as the room keeps. @default 0 */
  last?: number
  /** Goes on behind this position. What is no longer kept is told by a `gap`. @default from now on */
  since?: {
    /** The stream that the offset is of. */
    epoch: string
    /** The offset of the last event that was seen. */
    offset: number
  }
  /** Leaves the room. */
  signal?: AbortSignal
}

/** One user's place at the server, for as long as it is wanted: links are made, watched and made again beneath it. */
export interface Client {
  /**
   * Id of the link that stands; to be sent as `x-connection-id` with requests whose events this client need not hear.
   */
  readonly connectionId: string | undefined
  /** `connecting` until the first link stands, `reconnecting` while one is missing after that. */
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
    listener: (detail: {
      /** The new state, of `state`. */
      state?: string
      /** Why, where there is a reason to name. */
      code?: string
      /** The reason in words. */
      message?: string
      /** The room that it is about. */
      room?: string
    }) => void,
    options?: ListenOptions
  ): () => void
  /** Opens another link at once, whatever the state. After the end rooms have to be joined anew. */
  reconnect (): void
  /** Ends everything; what waits rejects with `closed`. */
  close (): void
}

/** Options of `connect`. What is unknown or wrong is refused with `REALTIME_ERR_OPTIONS`. */
export interface ConnectOptions {
  /**
   * A token, or a function that gets a fresh one: it is called before each link and before the token expires.
   *
   * @default none: the browser sends its cookie
   */
  token?: string | (() => string | Promise<string>)
  /** The transports that may be used, in order of preference. @default ['websocket', 'sse', 'polling'] */
  transports?: Transport[]
  /** Bounds of the messages that wait for their ack. */
  queue?: {
    /** Messages that may wait. @default 1000 */
    messages?: number
    /** Bytes that may wait. @default 1048576 */
    bytes?: number
    /** Milliseconds that one may wait before it rejects with `timeout`. @default 60000 */
    age?: number
    /** Who goes with `queue_full` when the queue is full: the new message, or the oldest. @default 'reject' */
    overflow?: 'reject' | 'drop-oldest'
  }
  /**
   * Milliseconds that a link may take to open, or be silent beyond the server's heartbeat, before it is given up.
   *
   * @default 10000
   */
  timeout?: number
  /** Closes the client. */
  signal?: AbortSignal
  /** The WebSocket class, where the platform has none. @default the package `ws`, when it is installed */
  WebSocket?: unknown
  /** What makes HTTP requests. @default the platform's */
  fetch?: typeof fetch
}
