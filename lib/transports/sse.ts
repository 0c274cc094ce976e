import type { ServerResponse } from 'node:http'
import { LINK_BUFFER, type Link, type LinkEvents } from '../connection/link.js'
import { PACE } from '../connection/pace.js'
import { encodeFrame, type Packet } from '../protocol/packet.js'
import { after } from '../structures/timers.js'
import type { CursorTrack } from './cursor-track.js'

/** Milliseconds that a peer may take to read the end of its stream. */
const END_TIMEOUT = 1_000
const COMMENT = Buffer.from(':\n\n')
const QUESTION = encodeFrame({ type: 'ping', id: PACE }).sse

/** Headers of every stream. The last one makes nginx and proxies like it pass events on at once. */
export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no'
} as const

/**
 * Milliseconds that a page's own EventSource waits before it reconnects. EventSource has no jitter, so each stream gets
 * another random value.
 */
export function retryAdvice (): number {
  return 2_000 + Math.floor(Math.random() * 3_000)
}

export function encodeRetry (milliseconds: number): Buffer {
  return Buffer.from(`retry: ${Math.ceil(milliseconds)}\n\n`)
}

/** A stream of Server-Sent Events (WHATWG HTML 9.2) over a hijacked reply. */
export class SseLink implements Link {
  readonly transport = 'sse'
  readonly #response: ServerResponse
  readonly #track: CursorTrack
  #isEnded = false
  #isWelcomed = false

  constructor (response: ServerResponse, track: CursorTrack) {
    this.#response = response
    this.#track = track
  }

  attach (events: LinkEvents): void {
    const response = this.#response
    response.on('drain', () => { events.drained() })
    // Only the response tells that the peer is gone: after a parsed body the request is closed at once.
    response.once('close', () => { events.closed(this.#isEnded ? 1000 : 1006) })
    // A write may race with the peer's leaving; `close` follows.
    response.on('error', () => undefined)
  }

  encode (packet: Packet): Uint8Array {
    // Every frame that moves a position carries an id, and so does the welcome, with which the stream begins.
    const isMoved = this.#track.see(packet) || !this.#isWelcomed
    this.#isWelcomed = true
    if (!isMoved) return packet.sse
    return Buffer.concat([Buffer.from(`id:${this.#track.toString()}\n`, 'latin1'), packet.sse])
  }

  write (bytes: Uint8Array): boolean {
    const response = this.#response
    if (this.#isEnded || response.destroyed) return false
    response.write(bytes)
    return response.writableLength < LINK_BUFFER
  }

  /**
   * Returns a comment, or, where a sign of the peer is asked for, a `ping`, which the client library answers by POST.
   */
  beat (payload?: string): Uint8Array | undefined {
    return payload === undefined ? COMMENT : payload === PACE ? QUESTION : undefined
  }

  retryAdvice (milliseconds: number): Uint8Array { return encodeRetry(milliseconds) }

  close (): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#response.end()
    // A peer that does not read would hold the socket; it gets only what the kernel has accepted by then.
    after(() => { this.destroy() }, END_TIMEOUT).unref()
  }

  destroy (): void { if (!this.#response.closed) this.#response.destroy() }
}
