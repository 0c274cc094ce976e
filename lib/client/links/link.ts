import type { ClientAnswer } from '../../protocol/frames.js'
import type {
  DrainFrame, GapData, JoinData as EnteredData, LeftFrame, MemberData, MembersData, PresenceData, RemovedFrame,
  ServerFrame, WelcomeData
} from '../../protocol/server-frames.js'
import type { SocketClass } from '../socket.js'
import type { Refused } from '../errors.js'

export type { MemberData }
export type Members = Pick<MembersData, 'sequence' | 'list'>

/** The data of a join's ack, which is also in `welcome.rooms` and in the answer of a poll. */
export type JoinData = EnteredData

type KeyOf<U> = U extends unknown ? keyof U : never
type FieldOf<U, K> = U extends unknown ? K extends keyof U ? U[K] : never : never
/** The fields of several types, each optional, to read a frame without checking its type first. */
type Merged<U> = { readonly [K in KeyOf<U>]?: FieldOf<U, K> }

/**
 * The data of all frames of the protocol in one type, and the answer to a request for a ticket; each frame has some of
 * the fields.
 */
export type FrameData = Merged<
  | WelcomeData
  | JoinData
  | MembersData
  | PresenceData
  | GapData
  | LeftFrame['data']
  | RemovedFrame['data']
  | DrainFrame['data']
  | Refused
  | { readonly ticket: string }
>

/** A frame of the server, or `rooms`, which a poll's answer says of its rooms. */
export type Frame = Omit<Merged<ServerFrame>, 'type' | 'data'> & {
  readonly type: ServerFrame['type'] | 'rooms'
  readonly data?: FrameData
}

/** A frame to the server: `data` is the application's, or has the form that the type of the frame requires. */
export interface UpFrame {
  readonly type: string
  readonly room?: string | undefined
  readonly id?: string | undefined
  readonly data?: unknown
  readonly error?: ClientAnswer['error']
  readonly traceparent?: string | undefined
}

export type Http = (
  path: string,
  init?: { method?: string, mode?: 'no-cors', headers?: Record<string, string>, body?: string, signal?: AbortSignal }
) => Promise<Response>

/** What a transport needs to know. */
export interface Dial {
  /** URL with the scheme http or https, without query or trailing slash. */
  readonly base: string
  /** Rooms of a stream or poll and former connections, as `&room=a&room=b&connection=c`. */
  readonly rooms: string
  /** Positions and other parameters that only the first request carries. */
  readonly first: string
  readonly token?: string | undefined
  readonly Socket: SocketClass
  /** Makes a request with the credential to a path below `base`, within the timeout where no signal is given. */
  readonly http: Http
}

export interface LinkEvents {
  frame (frame: Frame): void
  /** Tells that bytes have arrived. */
  heard (): void
  /** Tells that the link is over; the reason is `undefined` when the server gave none. */
  closed (reason?: Refused): void
}

export interface Link {
  send (frame: UpFrame): void
  close (): void
}

export type Open = (dial: Dial, events: LinkEvents) => Link
