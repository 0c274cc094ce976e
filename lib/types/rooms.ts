import type {
  AnyAddress, AskingName, EventData, EventName, EventReply, EventsOfRoom, HistoryEvent, MemberData, RoomState
} from '../contract/types.js'
import type { ConnectionPage, ConnectionQuery } from './connections.js'
import type { Code } from '../protocol/codes.js'
import type { Position } from '../protocol/position.js'
import type { OpeningStream, StreamChunk, StreamData, StreamHead, StreamName, StreamOptions, StreamText } from './streams.js'

/** One who is left out of a broadcast: the id of a connection, or a target. */
export type LeftOutOption = string | GroupTarget

/** What else a broadcast may say. */
export interface BroadcastOptions {
  /**
   * Who is left out: the id of a connection, for example `sender` of a message, a user with all connections, the
   * members of another room as they are when the event is offered, or a list of at most 32 such.
   *
   * @default nobody is left out
   */
  except?: LeftOutOption | readonly LeftOutOption[] | undefined
  /**
   * A second broadcast with the same key within two minutes adds no event. Keys are kept within `limits.remembered`;
   * one that is forgotten early makes a second event. @default no key; in the handler of a message one that is made of
   * the message and the event, so that a handler that runs again makes no second event
   */
  idempotencyKey?: string | undefined
}

/** What became of a broadcast. */
export interface BroadcastResult {
  /** Where the event stands in the room. Absent for `volatile` events and in rooms that keep no history. */
  position?: Position
  /** Members on this node to whom the event was handed. */
  recipients: number
}

/** What became of a broadcast that asks for answers. The lists are user ids, one for each connection. */
export interface AckResult {
  /** Members that have answered. */
  acked: string[]
  /** Members that have not answered in time. */
  missing: string[]
  /** Members that left the room before they answered. */
  left: string[]
  /** Nodes that did not report who their members are. */
  unknown: number
}

/** A member of a room as presence shows it. */
export interface MemberEntry<D = unknown> {
  /** Id of the user; one entry stands for all connections of a user. */
  userId: string
  /** What the option `presence` of the room made of the user, where the contract declares member data. */
  data: D
}

/** One page of a room's history. */
export interface History<R = string> {
  /** Where the page ends: the `since` of the next one. */
  position: Position
  /**
   * `false` when events after `since` are lost or it is of another stream: the page then has no events, and `position`
   * is the newest of the room. Always `false` without `since`.
   */
  resumed: boolean
  /** The events, the oldest first. */
  events: Array<HistoryEvent<R>>
}

/** Who is meant: all connections of a user, on all nodes, or one connection. */
export type Target = {
  /** The id of the user. */
  user: string
} | {
  /** The id of the connection. */
  connection: string
}

/** Who is meant: all connections of a user or in a room, on all nodes, or one connection. */
export type GroupTarget = Target | {
  /** The room whose members are meant, by its name or address. */
  room: string | AnyAddress
}

/** What is revoked: all access of a target or a token, or one room of a user. */
export type RevokeTarget = GroupTarget | {
  /** The id of the user. */
  user: string
  /** The room that is taken from the user. */
  room: string | AnyAddress
} | {
  /** The `jti` of a token: of a number, its digits. */
  tokenId: string
}

/**
 * `app.rooms`: what handlers of routes, timers and tests call. What concerns rooms and connections works from `onReady`
 * until the app closes, and rejects with `REALTIME_ERR_NOT_READY` before and after. Wrong arguments, unknown names of
 * options and targets among them, reject with `REALTIME_ERR_OPTIONS`, `REALTIME_ERR_TARGET` or `REALTIME_ERR_ROOM`, a
 * room that is not declared with `REALTIME_ERR_ROOM_UNKNOWN`. What needs the broker while it is away rejects with
 * `unavailable`. A call that changes something, fails, and is not awaited is logged; it is never an unhandled
 * rejection, which would end the process.
 */
export interface Rooms {
  /**
   * Sends an event to every member on every node.
   *
   * @throws REALTIME_ERR_EVENT for an event that the room does not declare, that does not fit its schema where
   *   `validateOutput` is on, or that is larger than `limits.event`
   */
  broadcast<R extends string | AnyAddress, K extends EventName<R>> (
    room: R,
    event: K,
    data: EventData<R, K>,
    options?: BroadcastOptions
  ): Promise<BroadcastResult>
  /**
   * Begins a text of an `append` event, and returns its one writer, which need not be awaited.
   *
   * @param head the event's data without the property that grows
   * @throws REALTIME_ERR_STREAM where another stream has the key or its text has ended, REALTIME_ERR_EVENT for an event
   *   that is not declared or a head that does not fit: by the calls of the writer, and where it is awaited
   */
  stream<R extends string | AnyAddress, K extends StreamName<R>> (
    room: R,
    event: K,
    head: StreamHead<R, K>,
    options?: StreamOptions
  ): OpeningStream<StreamChunk<R, K>>
  /**
   * Ends a text of an `append` event on whichever node it is written: its readers are told the error `cancelled`, and
   * the `signal` of its writer is aborted. A text that has ended, or that nobody writes, stays as it is.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared as `append`, `unavailable` when the text is not
   *   written on this node and the others cannot be told
   */
  cancel<R extends string | AnyAddress, K extends StreamName<R>> (
    room: R,
    event: K,
    key: string | number
  ): Promise<void>
  /**
   * Reads a text of an `append` event as it is so far; `undefined` where nothing is kept under the key.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared as `append`
   */
  read<R extends string | AnyAddress, K extends StreamName<R>> (
    room: R,
    event: K,
    key: string | number
  ): Promise<StreamText<StreamData<R, K>> | undefined>
  /**
   * Sends an event live only, and resolves when all members have answered or the time is over. On NATS, which does not
   * tell how many nodes there are, it resolves when the time is over.
   *
   * @param options `timeout`: milliseconds, default 10 000; `Infinity` waits until all have answered
   * @throws REALTIME_ERR_EVENT as `broadcast` does
   */
  broadcastWithAck<R extends string | AnyAddress, K extends EventName<R>> (
    room: R,
    event: K,
    data: EventData<R, K>,
    options?: BroadcastOptions & {
      /** milliseconds; members that have not answered by then are `missing`. @default 10_000 */
      timeout?: number
    }
  ): Promise<AckResult>
  /**
   * Takes the value of a key of a `latest` event away. All members are told, and so is everybody who comes back
   * knowing it, as long as the room keeps values (`history.ttl`; a day without history); removals give way to values
   * when a room has more than 1 000 of both. Resolves with the members on this node that were told.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared or not `latest`, or a key that is no string or number
   *   or has more than 1 024 characters; REALTIME_ERR_ADAPTER where the adapter cannot remove values
   */
  remove<R extends string | AnyAddress> (
    room: R,
    event: EventName<R>,
    key: string | number
  ): Promise<Pick<BroadcastResult, 'recipients'>>
  /**
   * Takes away what is kept of a room, on all nodes: its history, the values of its `latest` events and the texts of
   * its `append` events. Nobody resumes over it: members are told by a `gap`, as of events that are lost, and who comes
   * back with an older position is not resumed. Each value is taken away as by `remove`. Each text becomes empty for
   * whoever shows it and ends as `lost`; one that is being written rejects its writer's next `write`, and its key is
   * free. What is broadcast, set or begun meanwhile is either taken away too or stays; all that comes after the call
   * stays. Idempotency keys are still known. Where the call rejects, some of it may be gone: call it again.
   *
   * Of a value its event and key are still kept, and of a text what stands beside it in its data, for those who come
   * back and for as long as the value or the ended text would have been.
   *
   * @throws REALTIME_ERR_ADAPTER where the adapter cannot clear rooms; Refusal `unavailable` when the broker is away
   */
  clear (room: string | AnyAddress): Promise<void>
  /**
   * Reads the current values of the `latest` events of a room, from the adapter.
   *
   * @throws REALTIME_ERR_ADAPTER where the adapter keeps no values
   */
  state<R extends string | AnyAddress> (room: R): Promise<RoomState<EventsOfRoom<R>>>
  /**
   * Asks a client by an event that declares a `reply`, and resolves with its answer, checked by that. The event is one
   * of the user's own room, `@user/:id`, or of `room`, in which the connection has to be. A connection gives one
   * answer. Of several connections of a user the first whose answer fits counts; the others are asked as well, and are
   * not listened to. What is asked is not kept, and is asked once: a client that loses its connection meanwhile has
   * not answered.
   *
   * @param options `timeout`: milliseconds, default 10 000
   * @throws REALTIME_ERR_EVENT for an event without a reply, or data that does not fit; Refusal with a `code`:
   *   `not_joined` where no connection of the target is in the room, `timeout`, `invalid_message` for an answer that
   *   does not fit or cannot be read, of a client of an earlier version too, or the code of the error that the client's
   *   listener threw
   */
  request<R extends string | AnyAddress, K extends AskingName<R>> (
    target: Target & {
      /** The room of the event, by its name or address. @default the room of the user, `@user/:id` */
      room?: R
    },
    event: K,
    data: EventData<R, K>,
    options?: {
      /** milliseconds. @default 10_000 */
      timeout?: number
    }
  ): Promise<EventReply<R, K>>
  /** Broadcasts to `@all`, the room of everybody, which has to be declared. */
  broadcastAll (event: string, data: unknown): Promise<BroadcastResult>
  /** Broadcasts to `@user/<id>`, the room of one user, which has to be declared. */
  sendToUser (userId: string, event: string, data: unknown): Promise<BroadcastResult>
  /**
   * Puts connections into a room, without asking `authorize`, for as long as they live. Resolves with the number of
   * connections on this node that are in it now and were not before. Those of a target `{ room }` are who is a member
   * when the call reaches their node.
   *
   * @throws REALTIME_ERR_ROOM for a room whose name begins with `@`: every connection is in its own for as long as it
   *   lives
   */
  join (target: GroupTarget, room: string | AnyAddress): Promise<number>
  /**
   * Takes connections out of a room. Resolves with the number on this node that were in it.
   *
   * @throws REALTIME_ERR_ROOM for a room whose name begins with `@`
   */
  leave (target: GroupTarget, room: string | AnyAddress): Promise<number>
  /**
   * Asks connections on this node for an answer. It resolves with the first one, `latency` in milliseconds, and with
   * `alive: false` when none has come in time.
   *
   * @param options `timeout`: milliseconds, default 5 000
   */
  ping (target: Target, options?: {
    /** milliseconds until those that have not answered are taken for dead. @default 5_000 */
    timeout?: number
  }): Promise<{
    /** whether one of them has answered */
    alive: boolean
    /** milliseconds from the question to the first answer */
    latency?: number
  }>
  /**
   * Lists open connections of all nodes, one page at a time. A node that does not answer in time is named in `missing`,
   * and its connections are not on the page. While the broker is away, those of this node are listed, and the page is
   * `incomplete`. A page has about 1 MiB at most.
   */
  connections (query?: ConnectionQuery): Promise<ConnectionPage>
  /**
   * Closes connections on every node by a code after which their clients come back. Each is told the code and the
   * message by an `error` frame, then by the close frame of a WebSocket. Who is being let in at that moment stays.
   * Resolves with the number closed on this node.
   *
   * @param target a target, or a room whose members are meant
   * @param options `code`: a word of the table of codes that is not final, `unauthorized` to have a fresh credential
   *   fetched
   * @throws REALTIME_ERR_OPTIONS for a final code
   */
  close (target: GroupTarget | string | AnyAddress, options?: {
    /** why, which says when clients come back. @default 'unavailable': with backoff */
    code?: Code
    /** told to those who are closed. @default the text of the code */
    message?: string
  }): Promise<number>
  /**
   * Closes connections on every node with a final code, and keeps the user or the token out for a time; those of a
   * target `{ connection }` or `{ room }` may come back with a new connection. Resolves with the number closed on this
   * node.
   *
   * With `{ user, room }` it takes that one room from the user: connections in it are told by a `left` frame with the
   * code `revoked`, and every entry is refused with it, also to a message by POST. Only `join` by the server lets the
   * user in again before the time. It resolves with the number of connections on this node that were in the room.
   *
   * @throws REALTIME_ERR_ADAPTER when a user or token is to be kept out and the adapter keeps no denials
   */
  revoke (target: RevokeTarget, options?: {
    /** told to those who are closed. @default the text of the code */
    message?: string
    /**
     * Unix milliseconds until which the user or token is refused, `Infinity` for ever. Denials beyond
     * `limits.remembered.bytes` are forgotten by a node, not by the adapter.
     *
     * @default the end of a token that has a connection on any node, else in one hour
     */
    until?: number
  }): Promise<number>
  /** The users in a room, on all nodes. @throws REALTIME_ERR_PRESENCE_OFF for a room without presence */
  members<R extends string | AnyAddress> (room: R): Promise<Array<MemberEntry<MemberData<R>>>>
  /** The number of users in a room, on all nodes. @throws REALTIME_ERR_PRESENCE_OFF for a room without presence */
  count (room: string | AnyAddress): Promise<number>
  /**
   * Whether a user has a connection, on any node as far as the adapter keeps leases. With `grace` it says instead what
   * `onOnline` and `onOffline` have told or are about to tell, on all nodes: a user whose connection was lost is online
   * until `onOffline` comes. Take that for a list which these hooks keep.
   *
   * @throws REALTIME_ERR_OPTIONS with `grace` where the app has neither hook, and for another option; Refusal
   *   `unavailable` when the broker is away
   */
  isOnline (userId: string, options?: {
    /** whether a user who may come back within `presence.grace` (milliseconds) is online. @default false */
    grace?: boolean
  }): Promise<boolean>
  /**
   * Events that are kept of a room.
   *
   * @param options `limit`: events of the page, default all that are kept; the newest, or behind `since` the oldest
   */
  history<R extends string | AnyAddress> (room: R, options?: {
    /** events behind this position. @default the newest events */
    since?: Position
    /** the most events of the page. @default all that are kept */
    limit?: number
  }): Promise<History<R>>
  /** Whether new connections are let in: `false` before the start and from the beginning of a drain. */
  isAccepting (): boolean
  /**
   * The drain of `app.close()`, by hand: connections are told to go and end one after another. A second call with a
   * shorter timeout shortens the first.
   */
  drain (options?: {
    /** milliseconds after which all are ended. @default `drain.timeout` of the plugin */
    timeout?: number
  }): Promise<void>
  /** The state of this node: the object of `GET /ws/stats`. */
  stats (): Promise<Record<string, unknown>>
}
