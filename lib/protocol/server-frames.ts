import type { ErrorData } from './frames.js'
import type { Position } from './position.js'

/** A user in a room, as the others are told. */
export interface MemberData { readonly userId: string, readonly data?: unknown }

/** Who is in a room. */
export interface MembersData {
  /** Number of the newest change that is in it. */
  readonly sequence: number
  /** Users in the room. */
  readonly total: number
  /** Absent where there are too many of them, or too many bytes. */
  readonly list?: readonly MemberData[]
}

/** Who has come and gone. */
export interface PresenceData {
  /** The changes of a room are numbered without a hole: after one, the list is asked for anew. */
  readonly sequence: number
  readonly joined: readonly MemberData[]
  readonly left: readonly MemberData[]
}

/** Where a member stands in a room that it has entered. */
export interface JoinData extends Partial<Position> {
  /** Whether it goes on where it asked to; absent when it did not ask. */
  readonly resumed?: boolean
  readonly members?: MembersData
}

/** Events that are lost to a member: those behind `from`, up to `to`. */
export interface GapData {
  readonly epoch: string
  /** Absent where nobody knows how many there were. */
  readonly from?: number
  readonly to: number
}

/** What a connection is told first of all. */
export interface WelcomeData {
  readonly connectionId: string
  readonly userId: string
  /** Of the frames. */
  readonly version: number
  /** Milliseconds between two signs of life. */
  readonly heartbeat: number
  /** Unix milliseconds of the credential's end, where it has one. */
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

/** The answer to a command; what it carries depends on that. */
export interface AckFrame {
  readonly type: 'ack'
  readonly room?: string | undefined
  readonly id?: string | undefined
  readonly data?: unknown
}

/** With an id the answer to a command, with a room alone the refusal of that room, with neither why the link ends. */
export interface ErrorFrame {
  readonly type: 'error'
  readonly room?: string | undefined
  readonly id?: string | undefined
  readonly data: ErrorData
}

export interface PresenceFrame { readonly type: 'presence', readonly room: string, readonly data: PresenceData }

/** The server has put the connection into a room. */
export interface JoinedFrame { readonly type: 'joined', readonly room: string, readonly data: JoinData }

/** The server has taken the connection out of a room. */
export interface LeftFrame {
  readonly type: 'left'
  readonly room: string
  readonly data: { readonly code: string, readonly message: string }
}

export interface GapFrame { readonly type: 'gap', readonly room: string, readonly data: GapData }

/** The node shuts down; the link is served until then. */
export interface DrainFrame {
  readonly type: 'drain'
  readonly data: {
    /** Milliseconds until the link is ended. */
    readonly retryAfter: number
  }
}

export interface PingFrame { readonly type: 'ping', readonly id?: string | undefined }

export interface PongFrame { readonly type: 'pong', readonly id?: string | undefined }

/**
 * The name of a declared event. It is an enumeration for the compiler alone, which could not tell a plain string from
 * the words of the other frames: a misspelled one would be taken for an event.
 */
declare enum EventName { any = 'any' }

export type { EventName }

export interface EventFrame {
  readonly type: EventName
  readonly room: string
  readonly offset?: number
  /** Asks for an `ack` that carries it as its id. */
  readonly ack?: string
  readonly data: unknown
  /** Unix milliseconds, of the publishing node. */
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
  | DrainFrame
  | PingFrame
  | PongFrame
  | EventFrame
