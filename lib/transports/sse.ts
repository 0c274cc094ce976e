import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Link, LinkEvents } from '../connection/link.js'
import { LATE, PACE } from '../connection/pace.js'
import { encodeFrame, type Packet } from '../protocol/packet.js'
import { after } from '../structures/timers.js'
import type { CursorTrack } from './cursor-track.js'
import { PacedResponse } from './paced-response.js'
import { SocketLink, type Sink } from './socket-link.js'

/** Milliseconds that a peer may take to read the end of its stream. */
const END_TIMEOUT = 1_000
const COMMENT = Buffer.from(':\n\n')
const QUESTION = encodeFrame({ type: 'ping', id: PACE })

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

/**
 * Returns what the events of a stream are written to. That of HTTP/1 is its socket, because the response would do no
 * more than pass them on; a stream of HTTP/2, and of `inject`, has no socket of its own.
 */
function sinkOf (response: ServerResponse): Sink {
  if ('stream' in response) return new PacedResponse(response)
  const { socket } = response
  return socket instanceof Socket ? socket : response
}

/**
 * A write may race with the peer's leaving; `close` follows. It stays on a response that its socket may keep, so it is
 * no function of a link.
 */
function ignore (): void {}

/** A stream of Server-Sent Events (WHATWG HTML 9.2) over a hijacked reply. */
export class SseLink extends SocketLink<Sink> implements Link {
  readonly transport = 'sse'
  readonly #response: ServerResponse
  readonly #track: CursorTrack
  readonly #isNamed: boolean
  /** The begin of each `id:` line. */
  readonly #id: Buffer
  #isEnded = false
  #isWelcomed = false
  #events: LinkEvents | undefined

  /**
   * @param response whose headers are written
   * @param isNamed whether each event has a line with its name, by which EventSource finds the listeners
   */
  constructor (response: ServerResponse, track: CursorTrack, isNamed: boolean) {
    super(sinkOf(response))
    this.#response = response
    this.#track = track
    this.#isNamed = isNamed
    this.#id = Buffer.from(`id:${track.stream}`, 'latin1')
  }

  attach (events: LinkEvents): void {
    const response = this.#response
    this.#events = events
    const onDrain = (): void => { this.drained() }
    this.socket.on('drain', onDrain)
    // Only the response tells that the peer is gone: after a parsed body the request is closed at once.
    response.once('close', () => {
      // The socket may be kept longer than its stream, and would keep the connection with it.
      this.socket.off('drain', onDrain)
      this.#events?.closed(this.#isEnded ? 1000 : 1006)
      this.#events = undefined
    })
    response.on('error', ignore)
  }

  encode (packets: readonly Packet[]): Uint8Array {
    let size = 0
    const parts: Buffer[] = []
    for (const packet of packets) {
      // Every frame that moves a position carries an id, and so does the welcome, with which the stream begins.
      if (this.#track.see(packet) || !this.#isWelcomed) {
        this.#isWelcomed = true
        const end = packet.idAt(this.#track.places)
        parts.push(this.#id, end)
        size += this.#id.length + end.length
      }
      const event = this.#isNamed ? packet.sse : packet.unnamedSse
      parts.push(event)
      size += event.length
    }
    if (parts.length === 1) return parts[0]!
    // From the shared pool only while the kernel takes the bytes at once: those that wait for a slow reader would each
    // keep a slab with the bytes of others.
    const bytes = this.isIdle ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size)
    let at = 0
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }

  get isWritable (): boolean { return !this.#isEnded && this.isSocketWritable }

  write (bytes: Uint8Array): boolean { return this.isWritable && !this.#response.destroyed && this.put(bytes) }

  protected override drained (): void { this.#events?.drained() }

  /**
   * Returns a comment, or, where a sign of the peer is asked for, a `ping`, which the client library answers by POST.
   */
  beat (payload?: string): Uint8Array | undefined {
    if (payload === undefined) return COMMENT
    return payload === PACE ? this.encode([QUESTION]) : undefined
  }

  /**
   * Returns a comment, which an EventSource does not see: a ping that the client library answers where it comes late.
   */
  mark (now: number): Uint8Array {
    return Buffer.from(`:{"type":"ping","id":"${LATE}","at":${Math.round(now)}}\n\n`, 'latin1')
  }

  retryAdvice (milliseconds: number): Uint8Array { return encodeRetry(milliseconds) }

  close (): void {
    if (this.#isEnded) return
    this.#isEnded = true
    if (this.socket instanceof PacedResponse) this.socket.end()
    else this.#response.end()
    // A peer that does not read would hold the socket; it gets only what the kernel has accepted by then.
    after(() => { this.destroy() }, END_TIMEOUT).unref()
  }

  destroy (): void { if (!this.#response.closed) this.#response.destroy() }
}
