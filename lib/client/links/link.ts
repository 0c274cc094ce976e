import type { Position } from '../../protocol/position.js'
import type { Rate } from '../token-bucket.js'
import type { SocketClass } from '../platform.js'
import type { Refused } from '../errors.js'

export interface MemberData { readonly userId: string, readonly data?: unknown }
export interface Members { readonly sequence: number, readonly list?: readonly MemberData[] }

/** The data of a join's ack, which is also in `welcome.rooms` and in the answer of a poll. */
export interface JoinData extends Partial<Position> {
  readonly resumed?: boolean
  readonly members?: Members
  readonly rate?: Rate
}

/** The data of all frames of the protocol in one type; each frame has some of the fields. */
export interface FrameData extends Partial<Refused>, JoinData, Partial<Members> {
  readonly connectionId?: string
  readonly userId?: string
  readonly ticket?: string
  readonly heartbeat?: number
  readonly expires?: number
  readonly limits?: { readonly message: number, readonly rate: Rate }
  readonly rooms?: Readonly<Record<string, JoinData>>
  readonly joined?: readonly MemberData[]
  readonly left?: readonly MemberData[]
  readonly from?: number
  readonly to?: number
}

export interface Frame {
  readonly type: string
  readonly room?: string
  readonly id?: string
  readonly ack?: string
  readonly offset?: number
  readonly timestamp?: number
  readonly data?: FrameData
}

/** A frame to the server: `data` is the application's, or has the form that the type of the frame requires. */
export interface UpFrame {
  readonly type: string
  readonly room?: string
  readonly id?: string
  readonly data?: unknown
}

export type Http = (
  path: string,
  init?: { method?: string, mode?: 'no-cors', headers?: Record<string, string>, body?: string, signal?: AbortSignal }
) => Promise<Response>

/** What a transport needs to know. */
export interface Dial {
  /** URL with the scheme http or https, without query or trailing slash. */
  readonly base: string
  /** Rooms of a stream or poll, as `&room=a&room=b`. */
  readonly rooms: string
  /** Positions and other parameters that only the first request carries. */
  readonly first: string
  readonly token: string | undefined
  /** Ticket in place of a token that is too long for a header. */
  readonly ticket: string | undefined
  readonly Socket: SocketClass
  /** Makes a request with the credential to a path below `base`. */
  readonly http: Http
  /** Milliseconds that an answer may take. */
  readonly timeout: number
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
