import type { AnyMessages, Given, Made } from '../contract/types.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { Handlers, JoinContext, LeaveContext } from './handlers.js'
import type { User } from './user.js'

/** Who asks to enter a room, or is shown in it. */
export interface Entrant<P> {
  /** The user, as authentication found it. */
  user: User
  /** The id of the user. */
  userId: string
  /** The params of the room's name, decoded. */
  params: Made<P>
}

/** The options of a room that do not depend on its contract. */
export interface CommonRoomOptions<P, E, This, N = unknown> {
  /**
   * Connections in one room, on all nodes where the adapter keeps leases. One more is refused with `room_full`.
   *
   * @default no limit
   */
  capacity?: number
  /**
   * Events that are kept for those who come back. `false` keeps none: each event is delivered at most once, and nobody
   * resumes.
   *
   * @default the option `history` of the plugin
   */
  history?: {
    /** Events of one room; the oldest is dropped for a new one. @default 100 */
    size?: number
    /** Milliseconds for which an event is kept. @default 300_000 */
    ttl?: number
  } | false
  /** What one connection may send into this room. */
  limits?: {
    /** Bytes of a message; a larger one is refused with `message_too_large`. @default `limits.message` of the plugin */
    message?: number
    /**
     * Messages of one connection in this room; more are refused with `rate_limited`.
     *
     * @default `limits.rate` of the plugin alone, which counts all rooms of the connection
     */
    rate?: {
      /** Messages per second. */
      messages: number
      /** Messages that may come at once, after a silence. */
      burst: number
    }
  }
  /**
   * Milliseconds that events may wait for others, so that they leave as one write, and for which what is written to the
   * text of an `append` event is gathered before it is published; at most 60 000.
   *
   * @default 0, and 25 for texts
   */
  flush?: number
  /** Bounds of the texts of `append` events, of which a room keeps at most 1 000. */
  append?: {
    /**
     * Bytes of one text, at most 16 MiB; a chunk beyond them is refused with `message_too_large`.
     *
     * @default 1_048_576
     */
    size?: number
    /** Milliseconds for which a text is kept after its end, and for which a writer may be silent. @default 600_000 */
    ttl?: number
  }
  /**
   * Who may enter; asked at every entry: by URL, join, resume, poll and POST, and when a credential is renewed.
   * Anything but `true` refuses with `forbidden`, an answer later than `timeouts.handler` with `timeout`.
   *
   * @default every authenticated user
   */
  authorize?: (this: This, context: Entrant<P>) => Awaitable<boolean>
  /**
   * Runs before the ack of the join, and refuses by throwing. The join is refused with `timeout` when it takes longer
   * than `timeouts.handler`.
   *
   * @default nothing runs
   */
  onJoin?: (this: This, context: JoinContext<P, E, N>) => Awaitable<void>
  /** Runs when a connection has left. What it throws is logged. @default nothing runs */
  onLeave?: (this: This, context: LeaveContext<P, E, N>) => Awaitable<void>
  /**
   * Runs when a room gets its first member on any node: on one node, and on another one again where that node died
   * while it ran. What it throws is logged, and it has `timeouts.handler`. The adapter needs presence and claims.
   *
   * @default nothing runs
   */
  onOccupied?: (this: This, context: Occupation<Made<P>>) => Awaitable<void>
  /**
   * Runs when the last member on any node has left, or has been gone for `presence.grace`, or the last node with one
   * has been dead for `presence.lease`. It runs as `onOccupied` does, and maybe at the same time.
   *
   * @default nothing runs
   */
  onVacated?: (this: This, context: Occupation<Made<P>>) => Awaitable<void>
}

/** What is told of a room as a whole. */
export interface Occupation<P> {
  /** The room. */
  room: {
    /** the full name of the room, such as `chat/42` */
    name: string
  }
  /** The params of the room's name, decoded. */
  params: P
}

/** Whether members are shown, and as what. A room whose contract declares `member` needs the function. */
export type PresenceOption<P, D> = [D] extends [undefined]
  ? {
      /** `true` shows who is in the room, by user id. @default false */
      presence?: boolean
    }
  : {
      /** Makes what members see of a user, and says whether a member may change that. */
      presence: ((context: Entrant<P>) => Given<D>) | {
        /** makes what members see of a user */
        data: (context: Entrant<P>) => Given<D>
        /** whether a member may change it, from the client and in handlers. @default false */
        update?: boolean
      }
    }

/** The handlers of a room; a room whose contract declares messages needs one for each. */
export type HandlersOption<P, M extends AnyMessages, E, This, N = unknown> = [keyof M] extends [never]
  ? {
      /** The contract declares no messages, so there are none to handle. */
      on?: Handlers<P, M, E, This, N>
    }
  : {
      /** One handler for each declared message. */
      on: Handlers<P, M, E, This, N>
    }

/**
 * The options of `app.room`. An unknown or wrong one throws `REALTIME_ERR_OPTIONS` with its path.
 */
export type RoomOptions<P, M extends AnyMessages, E, D, This> = CommonRoomOptions<P, E, This, D> &
  PresenceOption<P, D> & HandlersOption<P, M, E, This, D>
