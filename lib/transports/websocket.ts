import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import { Compressor } from '../connection/compressor.js'
import type { Flushable, Flusher } from '../connection/flusher.js'
import { LINK_BUFFER, type Link, type LinkEvents } from '../connection/link.js'
import { frameText } from '../protocol/packet.js'
import { after } from '../structures/timers.js'
import { acceptableOffer } from './deflate-offers.js'

/** What a stream calls the encoding of a chunk that is no string; @types/node does not know it. */
const BYTES = 'buffer' as BufferEncoding
const PING = 0x89
const PONG = 0x8a
const MAX_REASON = 123
/** Close code of a peer that takes no notice of its rate, and milliseconds that it has to read it. */
const FLOODED = 4429
const LAST_WORD = 1_000

/** A control frame of the server (RFC 6455 5.5): unmasked, at most 125 bytes. */
function frameControl (opcode: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafeSlow(2 + payload.length)
  bytes[0] = opcode
  bytes[1] = payload.length
  bytes.set(payload, 2)
  return bytes
}

/**
 * One heartbeat, shared by all: a JSON ping, which a browser's page can see, and a control ping, which every client
 * answers without a line of code.
 */
const HEARTBEAT = Buffer.concat([frameText('{"type":"ping"}'), frameControl(PING, new Uint8Array())])

/** The reason of a close frame is cut by bytes, not inside a character: 124 bytes make `ws` throw. */
function cutReason (reason: string): string {
  if (Buffer.byteLength(reason) <= MAX_REASON) return reason
  return new TextDecoder().decode(Buffer.from(reason).subarray(0, MAX_REASON)).replace(/\uFFFD+$/, '')
}

/**
 * Takes what `ws` says where it says it: listeners, five for each socket, would be a table of 250 bytes, and their
 * registration a tenth of an upgrade.
 */
class RealtimeSocket extends WebSocket {
  link: WebSocketLink | undefined

  /** Also called by `ws` itself, when the peer closes or breaks the rules. */
  override close (code?: number, reason?: string | Buffer): void {
    if (this.link !== undefined) this.link.isOpen = false
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
        if ((first as Buffer).length > 0) events.pong((first as Buffer).toString('latin1'))
        return true
      case 'close':
        events.closed(first as number)
        return true
      // Bad frames and resets are the peer's doing: `close` follows with the code, nothing is logged as an error.
      case 'error': return true
      default: return super.emit(event, first, second)
    }
  }
}

interface LinkedSocket extends Duplex { realtimeLink?: WebSocketLink | undefined }

function onDrain (this: LinkedSocket): void {
  this.realtimeLink?.events.drained()
}

/**
 * Writes frames to the socket itself, past ws's per-send path; in order with what ws writes, because each write is
 * whole frames.
 */
export class WebSocketLink implements Link {
  // What each write needs comes first, to be in one line of the processor's cache: with many connections that is what a
  // write costs.
  readonly #socket: LinkedSocket
  /** not TLS, and no stream in a socket's place */
  readonly #isPlain: boolean
  /** bytes of a write past the stream that the kernel has not taken yet */
  #inFlight = 0
  #isTaken = false
  /** made at the first such write: idle connections have none */
  #taken: ((error?: Error | null) => void) | undefined
  /** no close frame has been written, behind which nothing may follow */
  isOpen = true
  readonly compressor: Compressor | undefined
  events!: LinkEvents
  readonly #ws: RealtimeSocket
  readonly transport = 'websocket'

  constructor (ws: RealtimeSocket, socket: LinkedSocket, compressor?: Compressor) {
    this.#ws = ws
    this.#socket = socket
    this.#isPlain = socket.constructor === Socket
    this.compressor = compressor
  }

  attach (events: LinkEvents): void {
    this.events = events
    this.#ws.link = this
    this.#socket.realtimeLink = this
    this.#socket.on('drain', onDrain)
  }

  get isWritable (): boolean { return this.isOpen && this.#socket.writable }

  /**
   * A plain socket whose stream is empty is handed the bytes as its stream would hand them on (`_write`): the account
   * that a stream keeps of each write, and its callback in the next tick, would cost more than all that is ours. The
   * order stays, because the handle writes in the order of its calls; `end` waits for it; while the kernel takes no
   * more, what follows goes by the stream. A TLS handle takes one write at a time and is left to its stream.
   */
  write (bytes: Uint8Array): boolean {
    if (!this.isWritable) return false
    const socket = this.#socket
    if (this.#isPlain && this.#inFlight === 0 && socket.writableLength === 0) {
      this.#isTaken = false
      socket._write(bytes, BYTES, this.#taken ??= this.#onTaken())
      if (!this.#isTaken) this.#inFlight = bytes.length
    } else socket.write(bytes)
    return this.#inFlight + (socket.writableLength ?? 0) < LINK_BUFFER
  }

  /** Called during the write, or later when the kernel could not take all at once. */
  #onTaken (): (error?: Error | null) => void {
    return (error) => {
      this.#isTaken = true
      if (error != null) {
        this.#socket.destroy(error)
        return
      }
      if (this.#inFlight === 0) return
      this.#inFlight = 0
      // What is behind it in the stream says so itself.
      if (!this.#socket.writableNeedDrain) this.events.drained()
    }
  }

  beat (payload?: string): Uint8Array {
    return payload === undefined ? HEARTBEAT : frameControl(PING, Buffer.from(payload, 'latin1'))
  }

  close (code: number, reason: string): void {
    this.#ws.close(code, cutReason(reason))
    if (code !== FLOODED || this.#ws.readyState === WebSocket.CLOSED) return
    // Whoever floods is read no further: his close frame may be far behind, and all before it would still be parsed.
    this.#ws.pause()
    const timer = after(() => { this.destroy() }, LAST_WORD).unref()
    this.#socket.once('close', () => { clearTimeout(timer) })
  }

  destroy (): void { this.#ws.terminate() }
}

/**
 * Listeners of Node and of @fastify/websocket, which `ws` makes superfluous; by their names, for they are not exported.
 */
const SUPERFLUOUS = { end: 'onReadableStreamEnd', error: 'onUpgradeSocketError' } as const

/**
 * A list of two listeners for each event costs an idle connection more than our own share of it. What the app listens
 * for stays: it may count its sockets by their `close`.
 */
function forgetListeners (socket: Socket): void {
  for (const event of ['end', 'error'] as const) {
    for (const listener of socket.listeners(event)) {
      if (listener.name === SUPERFLUOUS[event]) socket.removeListener(event, listener as () => void)
    }
  }
}

export interface WebSocketOptions {
  /** bytes of one inbound message */
  readonly maxPayload: number
  /** milliseconds that a peer may take to answer a close frame */
  readonly closeTimeout: number
  readonly compression: false | { readonly threshold: number }
  readonly flusher: Flusher
  readonly selectProtocol: (offered: Iterable<string>) => string | false
}

export interface Upgrade { readonly raw: IncomingMessage, readonly socket: Duplex, readonly head: Buffer }

/**
 * Makes links of upgrade requests. Its own `ws` server, so that message limit, subprotocol and close codes hold whoever
 * registered
 * @fastify/websocket and with whatever options, and so that the other plugin's shutdown leaves our sockets to our
 *   drain.
 */
export class WebSocketTransport implements Flushable {
  readonly #server: WebSocketServer
  readonly #compressor: Compressor | undefined
  readonly #flusher: Flusher
  /** sockets whose handshake is written but held back */
  #corked: Socket[] = []

  constructor ({ maxPayload, closeTimeout, compression, flusher, selectProtocol }: WebSocketOptions) {
    this.#flusher = flusher
    this.#compressor = compression === false ? undefined : new Compressor(compression.threshold)
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      autoPong: false,
      maxPayload,
      maxFragments: 256,
      maxBufferedChunks: 4_096,
      closeTimeout,
      // Neither side keeps a context, and only offers of the full window come here: so one compressed frame fits all.
      perMessageDeflate: compression === false
        ? false
        : { serverNoContextTakeover: true, clientNoContextTakeover: true },
      WebSocket: RealtimeSocket,
      handleProtocols: selectProtocol
    } as ConstructorParameters<typeof WebSocketServer>[0])
  }

  /** Completes the handshake. @returns no link when `ws` refuses it, or the peer has gone: the socket ends then */
  accept ({ raw, socket, head }: Upgrade): Link | undefined {
    if (socket instanceof Socket) {
      if (socket.constructor === Socket) forgetListeners(socket)
      this.#cork(socket)
    // The stream that `injectWS` puts in a socket's place never closes by itself.
    } else socket.once('end', () => { setImmediate(() => { socket.destroy() }) })
    let link: Link | undefined
    const { headers } = raw
    // `ws` takes one protocol alone, and refuses what it could decline.
    headers.upgrade = 'websocket'
    const offer = acceptableOffer(headers['sec-websocket-extensions'])
    if (offer === undefined) delete headers['sec-websocket-extensions']
    else headers['sec-websocket-extensions'] = offer
    this.#server.handleUpgrade(raw, socket, head, (ws) => {
      link = new WebSocketLink(
        ws as RealtimeSocket,
        socket,
        ws.extensions.includes('permessage-deflate') ? this.#compressor : undefined
      )
    })
    return link
  }

  /**
   * A write costs the kernel more than an upgrade costs us: the answer to the handshake waits for the welcome, until
   * the end of this turn.
   */
  #cork (socket: Socket): void {
    socket.cork()
    if (this.#corked.push(socket) === 1) this.#flusher.soon(this)
  }

  /** The outboxes of this turn are flushed before the next tick. */
  flush (): void {
    process.nextTick(() => {
      const corked = this.#corked
      this.#corked = []
      for (const socket of corked) socket.uncork()
    })
  }

  close (): void { this.#server.close() }
}
