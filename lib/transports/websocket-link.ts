import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { Compressor } from '../connection/compressor.js'
import type { Link, LinkEvents } from '../connection/link.js'
import { frameControl, frameText, PING, PONG } from '../protocol/websocket-frame.js'
import { after } from '../structures/timers.js'
import { SocketLink } from './socket-link.js'

const MAX_REASON = 123
/** Fragments of one message: each takes memory beside its bytes, however few they are. */
export const MAX_FRAGMENTS = 256
/** Close code of `ws` for more of them, and for a message that is read in too many parts. */
const IN_PIECES = 1008
/** Close code of a peer that ignores its rate, and milliseconds that it has to read it. */
const FLOODED = 4429
const LAST_WORD = 1_000

/**
 * One heartbeat that all connections share: a JSON ping, which a page in a browser can see, and a control ping, which
 * every client answers without code of its own.
 */
const HEARTBEAT = Buffer.concat([frameText('{"type":"ping"}'), frameControl(PING, new Uint8Array())])

/** Cuts the reason of a close frame to 123 bytes, but not inside a character: a longer one makes `ws` throw. */
function cutReason (reason: string): string {
  if (Buffer.byteLength(reason) <= MAX_REASON) return reason
  return new TextDecoder().decode(Buffer.from(reason).subarray(0, MAX_REASON)).replace(/\uFFFD+$/, '')
}

/** What `ws` says of a socket that closed without a close frame of the peer, and what a goodbye says. */
const GONE = 1006
const LEFT = 1000

/**
 * Handles the events of `ws` in `emit`. Five listeners for each socket would need a table of 250 bytes, and their
 * registration a tenth of an upgrade.
 */
export class RealtimeSocket extends WebSocket {
  link: WebSocketLink | undefined
  /** The code of our close frame; declared alone, so that it takes no room in those that are open. */
  declare closing?: number | undefined
  /** The code for which the peer has broken the rules. */
  declare verdict?: number | undefined

  /** `ws` itself also calls this, when the peer closes or breaks the rules. */
  override close (code?: number, reason?: string | Buffer): void {
    // By this code `ws` refuses a message of too many pieces, which is no fault in WebSocket: the peer is told which.
    if (code === IN_PIECES && reason === undefined && this.link?.isOpen === true) {
      this.link.events.violation(`a message has at most ${MAX_FRAGMENTS} fragments, and no tiny pieces`)
      return
    }
    if (this.link !== undefined) this.link.isOpen = false
    this.closing = code
    super.close(code, reason)
  }

  override emit (event: string | symbol, first?: unknown, second?: unknown): boolean {
    const events = this.link?.events
    if (events === undefined) return super.emit(event, first, second)
    switch (event) {
      case 'message':
        if (second === true) events.violation('binary messages are not part of realtime.v1')
        else events.text((first as Buffer).toString('utf8'), (first as Buffer).length)
        return true
      case 'ping':
        if (events.control()) events.reply(frameControl(PONG, first as Buffer))
        return true
      case 'pong':
        events.control()
        events.pong((first as Buffer).toString('latin1'))
        return true
      case 'close':
        // The verdict of `ws` is not among what this event says, since the peer's answer to it is not read any more. A
        // code that the peer has chosen is a goodbye, whatever it is.
        events.closed(this.verdict ?? (first === GONE ? GONE : LEFT))
        return true
      // Bad frames and resets come from the peer, so they are not logged as errors; `close` follows.
      case 'error':
        this.verdict = this.closing
        return true
      default: return super.emit(event, first, second)
    }
  }
}

interface LinkedSocket extends Duplex { realtimeLink?: WebSocketLink | undefined }

function onDrain (this: LinkedSocket): void {
  this.realtimeLink?.events.drained()
}

/**
 * Writes frames to the socket directly and not through the send path of `ws`. The order with what `ws` writes holds,
 * because each write consists of whole frames.
 */
export class WebSocketLink extends SocketLink<LinkedSocket> implements Link {
  /** Whether no close frame has been written; nothing may follow one. */
  isOpen = true
  readonly compressor: Compressor | undefined
  events!: LinkEvents
  readonly #ws: RealtimeSocket
  readonly transport = 'websocket'

  constructor (ws: RealtimeSocket, socket: LinkedSocket, compressor?: Compressor) {
    super(socket)
    this.#ws = ws
    this.compressor = compressor
  }

  attach (events: LinkEvents): void {
    this.events = events
    this.#ws.link = this
    this.socket.realtimeLink = this
    this.socket.on('drain', onDrain)
  }

  get isWritable (): boolean { return this.isOpen && this.isSocketWritable }

  write (bytes: Uint8Array): boolean { return this.isWritable && this.put(bytes) }

  protected override drained (): void { this.events.drained() }

  beat (payload?: string): Uint8Array {
    return payload === undefined ? HEARTBEAT : frameControl(PING, Buffer.from(payload, 'latin1'))
  }

  close (code: number, reason: string): void {
    this.#ws.close(code, cutReason(reason))
    if (code !== FLOODED || this.#ws.readyState === WebSocket.CLOSED) return
    // The server stops reading a peer that floods: its close frame may be far behind, and everything before it would
    // still be parsed.
    this.#ws.pause()
    const timer = after(() => { this.destroy() }, LAST_WORD).unref()
    this.socket.once('close', () => { clearTimeout(timer) })
  }

  destroy (): void { this.#ws.terminate() }
}
