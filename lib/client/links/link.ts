import type { Position } from '../../protocol/position.js'
import type { Rate } from '../token-bucket.js'
import type { SocketClass } from '../platform.js'
import type { Refused } from '../errors.js'

export interface MemberData { readonly userId: string, readonly data?: unknown }
export interface Members { readonly sequence: number, readonly list?: readonly MemberData[] }

/** The data of a join's ack, also found in `welcome.rooms` and in the answer of a poll. */
export interface JoinData extends Partial<Position> {
  readonly resumed?: boolean
  readonly members?: Members
  readonly rate?: Rate
}

/** The data of all frames of the protocol, each field where it belongs. */
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

/** What goes up: `data` is the application's, or as the type of the frame says. */
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
  /** URL by http, without query or trailing slash */
  readonly base: string
  /** `&room=a&room=b`: what streams and polls are of */
  readonly rooms: string
  /** positions and other things that only the first request says */
  readonly first: string
  readonly token: string | undefined
  /** in place of a token that is too long for a header of its own */
  readonly ticket: string | undefined
  readonly Socket: SocketClass
  /** with the credential; a path behind `base` */
  readonly http: Http
  /** milliseconds that an answer may take */
  readonly timeout: number
}

export interface LinkEvents {
  frame (frame: Frame): void
  /** bytes came down */
  heard (): void
  /** it is over; `undefined` when nothing was said */
  closed (reason?: Refused): void
}

export interface Link {
  send (frame: UpFrame): void
  close (): void
}

export type Open = (dial: Dial, events: LinkEvents) => Link
