import type { ErrorData } from './frames.js'
import type { TextEnd } from './part.js'
import type { Position } from './position.js'

/** A user in a room, as the other members see it. */
export interface MemberData { readonly userId: string, readonly data?: unknown }

/** The members of a room. */
export interface MembersData {
  /** Number of the newest change that the list includes. */
  readonly sequence: number
  /** Number of users in the room. */
  readonly total: number
  /** Absent where the room has too many users, or their list has too many bytes. */
  readonly list?: readonly MemberData[]
}

/** Users who have come and gone, or have changed. */
export interface PresenceData {
  /**
   * Number of the change. The changes of a room are numbered without holes; after a hole the client asks for the list
   * again.
   */
  readonly sequence: number
  readonly joined: readonly MemberData[]
  readonly left: readonly MemberData[]
  /** Users who are shown with other data now; absent where there is none. */
  readonly changed?: readonly MemberData[]
}

/** What a room asks of its members' clients. */
export interface RoomTerms {
  /** The room's own rate of messages; absent where that of the connection holds. */
  readonly rate?: { readonly messages: number, readonly burst: number }
  /** Its `latest` events; absent without one. */
  readonly latest?: LatestData
  /** Messages that do not wait behind others; absent where all of them do. */
  readonly concurrent?: readonly string[]
}

/** Where a member stands in a room that it has entered. */
export interface JoinData extends Partial<Position>, RoomTerms {
  /** Whether it resumes where it asked to; absent when it did not ask. */
  readonly resumed?: boolean
  readonly members?: MembersData
  /** The `append` events of which texts grow; their frames come next. Absent where none does. */
  readonly growing?: readonly string[]
}

/** The `latest` events of a room, for who keeps their values. */
export interface LatestData {
  /** By event the property of its data whose value is the key. */
  readonly keys: Readonly<Record<string, string>>
  /** Milliseconds for which the server keeps a value, and remembers that one was removed. */
  readonly ttl: number
}

/** Events that are lost to a member: those after `from`, up to `to`. */
export interface GapData {
  readonly epoch: string
  /** Absent where the number of lost events is not known. */
  readonly from?: number
  readonly to: number
}

/** The first data that a connection gets. */
export interface WelcomeData {
  readonly connectionId: string
  readonly userId: string
  /** Version of the frames. */
  readonly version: number
  /** Milliseconds between two heartbeats. */
  readonly heartbeat: number
  /** Expiry of the credential in Unix milliseconds, where it has one. */
  readonly expires?: number
  readonly limits: {
    /** Bytes of one message. */
    readonly message: number
    /** Rooms of one connection. */
    readonly rooms: number
    readonly rate: { readonly messages: number, readonly burst: number }
  }
  readonly rooms: Readonly<Record<string, JoinData>>
}

export interface WelcomeFrame { readonly type: 'welcome', readonly data: WelcomeData }

/** The answer to a command; its data depends on the command. */
export interface AckFrame {
  readonly type: 'ack'
  readonly room?: string | undefined
  readonly id?: string | undefined
  readonly data?: unknown
}

/**
 * A refusal: with an id the answer to a command, with only a room that of the room, with neither the reason why the
 * link ends.
 */
export interface ErrorFrame {
  readonly type: 'error'
  readonly room?: string | undefined
  readonly id?: string | undefined
  readonly data: ErrorData
}

export interface PresenceFrame { readonly type: 'presence', readonly room: string, readonly data: PresenceData }

/** The server has put the connection into a room. */
export interface JoinedFrame { readonly type: 'joined', readonly room: string, readonly data: JoinData }

/** The server has removed the connection from the room. */
export interface LeftFrame {
  readonly type: 'left'
  readonly room: string
  readonly data: { readonly code: string, readonly message: string }
}

export interface GapFrame { readonly type: 'gap', readonly room: string, readonly data: GapData }

/** The value of a key of a `latest` event is gone. */
export interface RemovedFrame {
  readonly type: 'removed'
  readonly room: string
  readonly data: { readonly event: string, readonly key: string }
}

/** The node shuts down and serves the link until then. */
export interface DrainFrame {
  readonly type: 'drain'
  readonly data: {
    /** Milliseconds until the link ends. */
    readonly retryAfter: number
  }
}

export interface PingFrame { readonly type: 'ping', readonly id?: string | undefined }

export interface PongFrame { readonly type: 'pong', readonly id?: string | undefined }

/**
 * The name of a declared event. It is an enumeration for the compiler only, which could not tell a plain string from
 * the types of the other frames and would take a misspelled one for an event.
 */
declare enum EventName { any = 'any' }

export type { EventName }

export interface EventFrame {
  readonly type: EventName
  readonly room: string
  readonly offset?: number
  /** Asks for an `ack` with this as its id. */
  readonly ack?: string
  /** The `ack` is to carry an answer, as `data`, or as `error` where there is none. */
  readonly reply?: boolean
  readonly data: unknown
  /** Of an `append` event: the length of the text before the part that it carries. */
  readonly from?: number
  /** Of an `append` event: the text has ended, and how. */
  readonly end?: TextEnd | undefined
  /** The answer to a `read` with this id. */
  readonly id?: string | undefined
  /** Unix milliseconds by the clock of the publishing node. */
  readonly timestamp: number
}

/** Every frame that the server sends, whatever the transport. */
export type ServerFrame =
  | WelcomeFrame
  | AckFrame
  | ErrorFrame
  | PresenceFrame
  | JoinedFrame
  | LeftFrame
  | GapFrame
  | RemovedFrame
  | DrainFrame
  | PingFrame
  | PongFrame
  | EventFrame
