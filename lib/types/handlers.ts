import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type {
  AnyMessages, Definition, Given, GrowingChunk, GrowingHead, GrowingName, Made
} from '../contract/types.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { BroadcastOptions, BroadcastResult } from './rooms.js'
import type { OpeningStream, StreamOptions } from './streams.js'
import type { User } from './user.js'

/** The room in which a handler runs. A call that fails and is not awaited is logged; it never ends the process. */
export interface RoomHandle<E, D = unknown> {
  /** The full name of the room, such as `chat/42`. */
  readonly name: string
  /**
   * Sends an event to all members. Resolves when it was accepted and handed to this node's members.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared, does not fit its schema or is too large
   */
  broadcast<K extends keyof E & string> (
    event: K,
    data: Given<E[K]>,
    options?: BroadcastOptions
  ): Promise<BroadcastResult>
  /**
   * Begins a text of an `append` event, and returns its one writer, which need not be awaited.
   *
   * @param head the event's data without the property that grows
   * @throws REALTIME_ERR_STREAM where another stream has the key or its text has ended, REALTIME_ERR_EVENT for an event
   *   that is not declared or a head that does not fit: by the calls of the writer, and where it is awaited
   */
  stream<K extends GrowingName<E>> (
    event: K,
    head: GrowingHead<E[K]>,
    options?: StreamOptions
  ): OpeningStream<GrowingChunk<E[K]>>
  /**
   * Takes the value of a key of a `latest` event away, as `app.rooms.remove` does.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared or not `latest`, and for a key that no value can have
   */
  remove (event: keyof E & string, key: string | number): Promise<Pick<BroadcastResult, 'recipients'>>
  /**
   * Changes what the room shows of the user of this context, until the user has left.
   *
   * @throws REALTIME_ERR_PRESENCE_OFF for a room without `presence: { update: true }`, REALTIME_ERR_EVENT for data that
   *   does not fit the contract, a refusal `not_joined` when the user is not in the room
   */
  presence (data: Given<D>): Promise<void>
  /**
   * Ends a text of an `append` event on whichever node it is written: its readers are told the error `cancelled`, and
   * the `signal` of its writer is aborted. A text that has ended, or that nobody writes, stays as it is.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared as `append`, `unavailable` when the text is not
   *   written on this node and the others cannot be told
   */
  cancel<K extends GrowingName<E>> (event: K, key: string | number): Promise<void>
}

/** The connection that a handler has to do with. */
export interface Connection<E, D = unknown> {
  /** The id that its client was told in `welcome`: the `except` of a broadcast, the target of `app.rooms`. */
  readonly id: string
  /**
   * Sends one event to this connection alone, which has no offset and is not kept. It goes out behind the join's ack
   * and the events that are sent again.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared, does not fit its schema or is too large
   */
  send<K extends keyof E & string> (event: K, data: Given<E[K]>): void
  /**
   * Changes what the room shows of its user, as `room.presence` does. What `onJoin` gives is shown from the start, in
   * place of what the option `presence` makes.
   *
   * @throws REALTIME_ERR_PRESENCE_OFF or REALTIME_ERR_EVENT, as `room.presence` does
   */
  presence (data: Given<D>): Promise<void>
}

/** What every handler is given. */
export interface RoomContext<P, E, N = unknown> {
  /** The params of the room's name, decoded. */
  readonly params: Made<P>
  /** The user, as authentication found it. */
  readonly user: User
  /** The id of the user, as the option `userId` says it. */
  readonly userId: string
  /** The room. */
  readonly room: RoomHandle<E, N>
  /** The logger of the scope that declares the room, with the room and the connection in each line. */
  readonly log: FastifyBaseLogger
}

/** What `onJoin` is given. */
export interface JoinContext<P, E, N = unknown> extends RoomContext<P, E, N> {
  /** The connection that is about to be in the room. */
  readonly connection: Connection<E, N>
  /** Whether it goes on where it was, without having lost an event. */
  readonly resumed: boolean
}

/** What `onLeave` is given. */
export interface LeaveContext<P, E, N = unknown> extends RoomContext<P, E, N> {
  /** Why: `left` when the peer said so, `gone` when it went without a word, or a word of the code table. */
  readonly code: string
  /** The connection that has left: it is the one of `onJoin`, and nothing can be sent to it by its handle any more. */
  readonly connection: Pick<Connection<E, N>, 'id'>
}

/** What the handler of a message is given. */
export interface MessageContext<P, E, D, N = unknown> extends RoomContext<P, E, N> {
  /** What the client has sent, checked against its schema. */
  readonly data: D
  /** Id of the connection; over HTTP the verified `x-connection-id`, if any. */
  readonly sender: string | undefined
  /**
   * Aborted when nobody waits for the handler any more: at `timeouts.handler`; when the connection has ended for good,
   * one that polls after `presence.grace`; when access was revoked, or the server takes the room from the sender; when
   * the server closes; and over HTTP when a caller without a connection hangs up. It is made when it is first read. A
   * handler that throws for it has had no outcome: sent again, the message is handled again.
   */
  readonly signal: AbortSignal
  /** The id that the client gave the message: sent again under it within two minutes, it is not handled twice. */
  readonly messageId: string | undefined
}

/**
 * One handler for each message that the room declares. What it returns is the reply. It may throw an error with a 4xx
 * `statusCode`, whose code and message the client is told; anything else is `internal` to the client and is logged.
 */
export type Handlers<P, M extends AnyMessages, E, This = FastifyInstance, N = unknown> = {
  [K in keyof M]: (
    this: This,
    context: MessageContext<P, E, Made<M[K]['data']>, N>
  ) => Awaitable<Given<M[K]['reply']>>
}

/** Handlers in a file of their own: `const on: HandlersOf<typeof chat> = { ... }`. */
export type HandlersOf<R> = R extends Definition<string, infer P, infer M extends AnyMessages, infer E, infer N>
  ? Handlers<P, M, E, FastifyInstance, N>
  : never
