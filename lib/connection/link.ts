import type { Packet } from '../protocol/packet.js'
import type { Compressor } from './compressor.js'

export type Transport = 'websocket' | 'sse' | 'polling'

/** What a link tells its connection. */
export interface LinkEvents {
  /** Hands over one text frame of the peer. */
  text (text: string, bytes: number): void
  /** Tells that the peer broke the framing rules: its frame is binary, or nothing that the protocol knows. */
  violation (message: string): void
  /** Tells that the peer has sent anything at all. */
  alive (): void
  /**
   * Tells of a control frame of the peer, which counts against its rate.
   *
   * @returns whether the frame is answered
   */
  control (): boolean
  /** Sends bytes that answer the peer's own control frames, in order. */
  reply (bytes: Uint8Array): void
  /** Hands over the answer to a control ping that carried `payload`; a heartbeat carries none. */
  pong (payload: string): void
  /** Tells that the kernel has accepted all bytes. */
  drained (): void
  /** Tells once that the transport is gone; `code` is the peer's close code, or 1006 when there was none. */
  closed (code: number): void
}

/** The bytes and the close of one transport, for a connection. A transport implements only this. */
export interface Link {
  readonly transport: Transport
  attach (events: LinkEvents): void
  /** Whether a write would be accepted, known ahead of it; absent where the transport cannot tell. */
  readonly isWritable?: boolean
  /** Whether the kernel has accepted all that was written; absent where bytes are not written but taken. */
  readonly isIdle?: boolean
  /** Bytes that the kernel has accepted from its socket so far; absent where that is not known. */
  readonly taken?: number | undefined
  /** @returns false when the link has enough (64 KiB) until it reports `drained`; it accepts the bytes all the same */
  write (bytes: Uint8Array): boolean
  /** Ends the link behind everything written; `code` and `reason` go as far as the transport can carry them. */
  close (code: number, reason: string): void
  /** Ends it at once, whatever the peer does; absent where `close` needs no answer. */
  destroy? (): void
  /**
   * Encodes packets in the form of this transport, as one write; without it the WebSocket frames are sent, which all
   * connections share.
   */
  encode? (packets: readonly Packet[]): Uint8Array
  /** Set when the peer negotiated permessage-deflate: makes the compressed frames that all such peers share. */
  readonly compressor?: Compressor | undefined
  /**
   * Returns the bytes of one heartbeat, with a payload to be echoed where the transport can; absent where none is
   * needed.
   */
  beat? (payload?: string): Uint8Array | undefined
  /**
   * Returns bytes that mark what is written with a time in milliseconds, which the client library compares with its own
   * clock; absent where a ping costs little.
   */
  mark? (now: number): Uint8Array
  /**
   * Returns bytes that tell the peer's own implementation when to reconnect; absent where the transport has no such
   * field.
   */
  retryAdvice? (milliseconds: number): Uint8Array
  /**
   * Set by polling only: frames wait until they are taken, and this is called when there are some.
   *
   * @param flush milliseconds that they may wait for others
   */
  readonly pending?: (flush?: number) => void
  /** Set by polling only: answers soon with what waits, or now, because the server drains. */
  hurry? (isNow?: boolean): void
}

/** Bytes that a link may hold before it counts as lagging. */
export const LINK_BUFFER = 65_536

/**
 * Bytes that a peer must have taken in `timeouts.write` of what waits for it, or all of it. One frame may take longer
 * than that on a slow link; a peer that takes a byte now and then would hold its memory for as long as it likes.
 */
export const PROGRESS = 16_384
