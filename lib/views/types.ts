import type { Address, AnyMessages, GrowingText, Made } from '../contract/types.js'
import type { TextEnd } from '../protocol/part.js'
import type { ClientRoom, JoinOptions, RealtimeError, RoomEvent, Transport } from '../client/types.js'

/** Something that components show, and that changes by itself. */
export interface Source<T> {
  /** What is shown before anything is known, and on a server. */
  readonly blank: T
  /** What is so now: the same object until it changes. */
  read (): T
  /** Calls back at each change, until the function that it returns is called. */
  watch (changed: () => void): () => void
}

/** The address of a room, or nothing yet. */
export type MaybeAddress<M, E, D> = Address<M, E, D> | null | undefined

/** How a component uses a room. */
export interface RoomOptions<K extends string> {
  /**
   * Number of the newest events that are kept in `events`. So many are replayed at the first join, as far as the room
   * keeps them: the largest number of the components that are there by then counts.
   *
   * @default 0: none are kept, and no event makes the component render
   */
  readonly last?: number
  /** Names of the events that are kept. @default all but those of `latest` and `append` */
  readonly events?: readonly K[]
  /** Resumes after this position, such as that of history which the server has rendered. @default from now on */
  readonly since?: JoinOptions['since']
}

/** How far a room is. */
export interface RoomStatus {
  /**
   * `idle` without an address; `joining` until the server has let the client in, and on a server; `joined` from then
   * on, also while the client reconnects; `ended` when the room was refused or left for good, or the client was closed.
   */
  readonly status: 'idle' | 'joining' | 'joined' | 'ended'
  /** Why the room has ended (`closed`: with the client), or why it is not joined yet, where the server has said so. */
  readonly error?: RealtimeError | undefined
  /**
   * How often events of the room were lost: each time that the number grows, what the events would have told has to be
   * loaded again.
   */
  readonly gaps: number
}

/** A room as a component sees it. It can stand for the address of the room. */
export interface RoomView<M extends AnyMessages, E, D, K extends keyof E & string>
  extends RoomStatus, Address<M, E, D> {
  /** The newest events, the oldest first: as many as `last` says. */
  readonly events: ReadonlyArray<RoomEvent<Pick<E, K>>>
  /**
   * Sends a message, as `send` of the client's room does. The room is not left before the answer is here, also when the
   * component is gone by then.
   */
  readonly send: ClientRoom<M, E, D>['send']
  /** Changes what the room shows of this user, as `presence` of the client's room does. */
  readonly presence: ClientRoom<M, E, D>['presence']
}

/** A text that grows, as it is so far. */
export interface StreamView<T> {
  /** The text; `undefined` until something of it is here. */
  readonly text?: GrowingText<T> | undefined
  /** The whole data of the event, the text included. */
  readonly data?: Made<T> | undefined
  /** How the text has ended; `undefined` while it grows. */
  readonly end?: TextEnd | undefined
}

/** The connection as a component sees it. */
export interface ConnectionView {
  /** `connecting` until the first link is open, and on a server; `reconnecting` while a later one is missing. */
  readonly state: 'connecting' | 'open' | 'reconnecting' | 'closed'
  /** The transport in use, or the one that is being tried. */
  readonly transport: Transport
  /** The user id that the server knows this client by, once it has said so. */
  readonly userId?: string | undefined
  /** Why there is no connection, with the time until the next attempt; `undefined` while there is one. */
  readonly error?: RealtimeError | undefined
}
