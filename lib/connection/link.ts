import type { Packet } from '../protocol/packet.js'
import type { Compressor } from './compressor.js'

export type Transport = 'websocket' | 'sse' | 'polling'

/** What a link tells its connection. */
export interface LinkEvents {
  /** one text frame of the peer */
  text (text: string, bytes: number): void
  /** the peer broke the framing rules: binary, or nothing that the protocol knows */
  violation (message: string): void
  /** anything at all came from the peer */
  alive (): void
  /** A control frame of the peer, which spends of its rate. @returns whether it is answered */
  control (): boolean
  /** bytes for the peer that answer its own control frames, to be sent in order */
  reply (bytes: Uint8Array): void
  /** the answer to a control ping that carried `payload` */
  pong (payload: string): void
  /** all bytes that were given are with the kernel */
  drained (): void
  /** The transport is gone, once; `code` is the peer's close code, 1006 when there was none. */
  closed (code: number): void
}

/** What a transport gives a connection to write bytes and to close. The only thing that a transport implements. */
export interface Link {
  readonly transport: Transport
  attach (events: LinkEvents): void
  /** bytes would be taken; asked ahead of a write, absent where there is nothing to ask */
  readonly isWritable?: boolean
  /** @returns false when the link has enough (64 KiB) until it says `drained`; the bytes are taken all the same */
  write (bytes: Uint8Array): boolean
  /** Ends the link behind everything written; `code` and `reason` as far as the transport can carry them. */
  close (code: number, reason: string): void
  /** Ends it at once, whatever the peer does; absent where `close` needs no answer. */
  destroy? (): void
  /** A packet in this transport's own form; absent: its WebSocket frame, which all connections share. */
  encode? (packet: Packet): Uint8Array
  /** Set when the peer negotiated permessage-deflate: makes the compressed frames that all such peers share. */
  readonly compressor?: Compressor | undefined
  /** Bytes of one heartbeat, with a payload to be echoed where the transport can; absent where none is needed. */
  beat? (payload?: string): Uint8Array | undefined
  /** Bytes that tell the peer's own implementation when to come back; absent where the transport has no such field. */
  retryAdvice? (milliseconds: number): Uint8Array
  /** Only polling: frames wait until they are taken, this is told when there are some. */
  readonly pending?: () => void
}

/** Bytes that a link may hold before it is said to lag. */
export const LINK_BUFFER = 65_536
