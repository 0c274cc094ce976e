import type {
  Address, AnyMessages, Given, GrowingName, GrowingProperty, GrowingText, Made, RoomState
} from '../contract/types.js'
import type { Position } from '../protocol/position.js'
import type { Retry } from '../protocol/codes.js'
import type { TextEnd } from '../protocol/part.js'
import type { ListenOptions } from './listeners.js'

/**
 * Every rejection and every `error` of this library: an `Error` with a code of the server's table or one of this
 * library's own. Those are `closed`, `left` and `queue_full`, and for links that do not open `unreachable`, `timeout`,
 * `cors_refused`, `certificate_invalid`, `transport_blocked` and `token_failed`.
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
  /** Violations of the schema, for a message that was refused with `invalid_message`. */
  readonly details?: ReadonlyArray<{
    /** Where in the data, as a JSON pointer. */
    readonly path: string
    /** What is wrong there. */
    readonly message: string
  }>
  /** Failures in a row, this one included; absent when the client does not try again. */
  readonly attempt?: number
  /** Milliseconds until the next attempt. */
  readonly retryIn?: number
  /** The transport whose link failed, or over which the refusal came. */
  readonly transport?: Transport
  /** The platform's own error, where there was one. */
  readonly cause?: unknown
}

/** How a link carries frames: a WebSocket, a stream of Server-Sent Events with POSTs, or long polls with POSTs. */
export type Transport = 'websocket' | 'sse' | 'polling'

/** What an `append` event says besides its data, in which the text is whole as it is so far. */
export type Appended<D> = [GrowingProperty<D>] extends [never] ? unknown : {
  /** The part of the text that is new. */
  added: GrowingText<D>
  /** How the text has ended; absent while it grows. */
  end?: TextEnd
}

/** One event of a room. */
export type RoomEvent<E> = { [K in keyof E & string]: Appended<E[K]> & {
  /** The name of the event. */
  type: K
  /** What the server sent, as the contract types it; the client does not validate it again. */
  data: Made<E[K]>
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
  readonly data: Made<D>
}

/** What a room is without the parts that `fastify-realtime/client/core` leaves out. */
export interface CoreRoom<M extends AnyMessages, E, D> {
  /** The name of the room, each param encoded. */
  readonly name: string
  /** Resolves at the first join; rejects with a code when the room is refused for good or is left before. */
  readonly joined: Promise<{
    /** Whether no event after `since` was lost; absent where `since` was not given. */
    resumed?: boolean
    /** The `append` events of which texts grow, which the listeners hear next; absent where none does. */
    growing?: readonly string[]
  }>
  /** The members by user id, kept up to date; empty for a room without presence and above 200 members. */
  readonly members: ReadonlyMap<string, Member<D>>
  /**
   * The newest value of each key of the room's `latest` events: by event, then by the text of the key. It is kept up to
   * date, before the listeners of an event are called, and holds up to 1 000 values of an event.
   */
  readonly state: RoomState<E>
  /**
   * Listens to one event, and returns a function that removes the listener. An acknowledged event is acknowledged when
   * everything that the listeners return has settled. Where the server asks by an event that has a `reply`, what the
   * first listener returns is the answer; an error that it throws is told to the server with its `code` and `message`.
   * Listeners of `*` are not asked.
   */
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
  /**
   * Listens to values that are removed, also those that `state` lets go after a break because the server no longer
   * knows what became of them; `state` is up to date by then.
   */
  on (event: 'removed', listener: (removed: {
    /** The name of the event. */
    event: keyof E & string
    /** The text of the key. */
    key: string
  }) => void, options?: ListenOptions): () => void
  /** Listens to users who come, go or change; `members` is up to date by then. */
  on (event: 'presence', listener: (change: {
    /** Users who were not here before. */
    joined: Member<D>[]
    /** Users of whom no connection is here any more. */
    left: Member<D>[]
    /** Users who are shown with other data now. */
    changed: Member<D>[]
  }) => void, options?: ListenOptions): () => void
  /**
   * Sends a message, now or when the client has reconnected, in the order of the calls and with one effect only.
   * Resolves with the typed reply.
   *
   * @throws RealtimeError with the code of the refusal, or `timeout`, `queue_full`, `left` or `closed`
   */
  send<K extends keyof M & string> (message: K, data: Given<M[K]['data']>, options?: SendOptions): Promise<Made<M[K]['reply']>>
  /**
   * Changes what the room shows of this user, in all its connections, until the user has left. It is sent like a
   * message, and spends of the same rate.
   *
   * @throws RealtimeError `invalid_message` for data that does not fit, or a room whose members cannot change it;
   *   otherwise as `send`
   */
  presence (data: Given<D>, options?: SendOptions): Promise<void>
  /**
   * Ends what this call of `join` has given: its listeners, its loops, and its messages that are not acknowledged,
   * which reject with `left`. The room itself is left with the last one who has joined it.
   */
  leave (): Promise<void>
}

/** A room as the client sees it. It outlives links: after each break the client joins it again at its position. */
export interface ClientRoom<M extends AnyMessages, E, D> extends CoreRoom<M, E, D>, AsyncIterable<RoomEvent<E>> {
  /**
   * The parts of a text of an `append` event, from its beginning on, for as long as it grows. The loop ends with the
   * text, and throws where that ended with an error, was lost (`lost`), or the room is over.
   */
  stream<K extends GrowingName<E>> (event: K, key: string | number): AsyncIterable<GrowingText<E[K]>>
  /**
   * Loads a state of the application so that it and the events of the room meet: while `load` runs, the events are
   * held; then the listeners of this handle hear those behind the state, each once. After a `gap` it is loaded again by
   * itself, until that succeeds; each failure is an `error` with the code `load_failed` and `retryIn`.
   *
   * @param load loads the state, shows it, and returns the answer, whose header `x-realtime-position` the server has
   *   set by `reply.position(address)`, or the position itself
   * @throws what `load` throws; RealtimeError `position_missing`, and `unavailable` where the state and the events have
   *   not met five times in a row
   */
  snapshot<T extends Loaded> (load: () => Promise<T>): Promise<T>
  /** Loads again what `snapshot` loaded. @throws as `snapshot`; `REALTIME_ERR_OPTIONS` where there was none */
  reload (): Promise<void>
}

/** What tells the position of a state: an answer of `fetch` with its header, or the position itself. */
export type Loaded = {
  /** The headers of the answer. */
  readonly headers: {
    /** The value of a header. */
    get (name: string): unknown
  }
} | Position

/** What is sent into a room that was joined by its name: each use may say its own types. */
export type NamedMessages = Record<string, {
  /** What is sent. */
  data: unknown
  /** What is answered. */
  reply: unknown
}>

/** A room that was joined by its name: what is sent and heard is of any type. */
export type NamedRoom = ClientRoom<NamedMessages, Record<string, unknown>, unknown>

/** Options of one message. */
export interface SendOptions {
  /** Gives the message up: the call rejects, although the message may have taken effect. */
  signal?: AbortSignal
  /**
   * Milliseconds until the call rejects with `timeout`, although the message may have taken effect.
   *
   * @default queue.age
   */
  timeout?: number
}

/** Options of a join. */
export interface JoinOptions {
  /** Number of the newest events to replay at the first join, at most as many as the room keeps. @default 0 */
  last?: number
  /** Resumes after this position. A `gap` tells when events after it are no longer kept. @default from now on */
  since?: {
    /** The stream to which the offset belongs. */
    epoch: string
    /** The offset of the last event that was received. */
    offset: number
  } | undefined
  /** Leaves the room. */
  signal?: AbortSignal
}

/** What a client is besides its rooms. */
export interface ClientBase {
  /**
   * Id of the present connection. Send it as `x-connection-id` with requests whose events this client need not receive.
   */
  readonly connectionId: string | undefined
  /** `connecting` until the first link is open, `reconnecting` while a later one is missing. */
  readonly state: 'connecting' | 'open' | 'reconnecting' | 'closed'
  /** The user id that the server knows this client by, once it has said so. */
  readonly userId: string | undefined
  /** The transport in use, or the one that is being tried. */
  readonly transport: Transport
  /** Called once for each failure of the link, refusal of the client or refusal of a room; `room` names the room. */
  on (event: 'error', listener: (error: RealtimeError) => void, options?: ListenOptions): () => void
  /**
   * `state`: the state has changed. `gap`: events of a room were lost, so load the room again. `joined`, `left`: the
   * server has put this client into a room, whose events it gets once it `join`s it (over polls the membership ends
   * with the answer), or has taken it out of one.
   */
  on (
    event: 'state' | 'error' | 'gap' | 'joined' | 'left',
    listener: (detail: {
      /** The new state, for `state`. */
      state?: string
      /** The code of the reason, where there is one. */
      code?: string
      /** The reason in words. */
      message?: string
      /** The room concerned. */
      room?: string
    }) => void,
    options?: ListenOptions
  ): () => void
  /** Opens another link at once, whatever the state. After the end, rooms have to be joined again. */
  reconnect (): void
  /** Closes the client; messages that wait reject with `closed`. */
  close (): void
}

/**
 * The connection of one user to the server, for as long as the application wants it; the client reconnects beneath it.
 */
export interface Client extends ClientBase {
  /**
   * Joins a room and returns it at once. Each call is one user of the room and is given a handle of its own, whose
   * `leave()` takes the room away from nobody else; however many there are, the room is joined once.
   *
   * Options: `since` resumes after a position, `last` replays the last n events at the first join, `signal` leaves the
   * room.
   */
  join<M extends AnyMessages, E, D> (room: Address<M, E, D>, options?: JoinOptions): ClientRoom<M, E, D>
  /** The same by the name of the room, for code without the types of a contract. */
  join (room: string, options?: JoinOptions): NamedRoom
}

/** A client of `fastify-realtime/client/core`. */
export interface CoreClient extends ClientBase {
  /**
   * Joins a room and returns it at once. Each call is one user of the room and is given a handle of its own, whose
   * `leave()` takes the room away from nobody else; however many there are, the room is joined once.
   *
   * Options: `since` resumes after a position, `last` replays the last n events at the first join, `signal` leaves the
   * room.
   */
  join<M extends AnyMessages, E, D> (room: Address<M, E, D>, options?: JoinOptions): CoreRoom<M, E, D>
  /** The same by the name of the room, for code without the types of a contract. */
  join (room: string, options?: JoinOptions): CoreRoom<NamedMessages, Record<string, unknown>, unknown>
}

/** A part of the client that not every page needs. What it does is between it and the client. */
export type ClientPart = (core: never) => void

/** Options of `connect` of `fastify-realtime/client/core`. */
export interface CoreOptions extends BaseOptions {
  /**
   * Parts that the client has besides the core, of `fastify-realtime/client/parts`, `/texts` and `/share`. Tabs that
   * share a link have the same ones.
   *
   * @default none
   */
  use?: ClientPart[]
}

/** Options of `connect`. An unknown or wrong option is refused with `REALTIME_ERR_OPTIONS`. */
export interface ConnectOptions extends BaseOptions {
  /**
   * Whether the tabs of this browser share one link: `true`, or `share(name)` of `fastify-realtime/client/share`, by
   * which the tabs of one name share it. Tabs of different users must not share: give the user as the name where a tab
   * may be signed in as another user than the next. Where the page has no Web Locks or BroadcastChannel or may not use
   * them, nothing is shared.
   *
   * @default false
   */
  share?: boolean | ClientPart
}

/** Options that every client has. */
export interface BaseOptions {
  /**
   * A token, or a function that fetches a fresh one. The function is called before each link and before the token
   * expires; where it throws or gives no text, it is called again for the next attempt.
   *
   * @default none: the browser sends its cookie
   */
  token?: string | (() => string | Promise<string>)
  /** The transports that may be used, in order of preference. @default ['websocket', 'sse', 'polling'] */
  transports?: Transport[]
  /** Bounds of the messages that wait for their acknowledgement. */
  queue?: {
    /** Messages that may wait. @default 1000 */
    messages?: number
    /** Bytes that may wait. @default 1048576 */
    bytes?: number
    /** Milliseconds that a message may wait before it rejects with `timeout`. @default 60000 */
    age?: number
    /** Which message rejects with `queue_full` when the queue is full: the new one, or the oldest. @default 'reject' */
    overflow?: 'reject' | 'drop-oldest'
  }
  /**
   * Milliseconds that a link may take to open, or be silent beyond the server's heartbeat, before the client gives it
   * up.
   *
   * @default 10000
   */
  timeout?: number
  /** Closes the client. */
  signal?: AbortSignal
  /** The WebSocket class, where the platform has none. @default the package `ws`, when it is installed */
  WebSocket?: unknown
  /** The function that makes HTTP requests. @default the platform's */
  fetch?: typeof fetch
  /**
   * Called with each `send`: the W3C `traceparent` of what sends, with which the server goes on in that trace, or
   * `undefined` for none. What it throws is what the `send` rejects with. The server passes over what is no
   * `traceparent`.
   *
   * @default none: messages belong to no trace of their sender
   */
  traceparent?: () => string | undefined
}
