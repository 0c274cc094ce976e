import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { Compressor } from '../connection/compressor.js'
import type { Flushable, Flusher } from '../connection/flusher.js'
import type { Link } from '../connection/link.js'
import { acceptableOffer } from './deflate-offers.js'
import { MAX_FRAGMENTS, RealtimeSocket, WebSocketLink } from './websocket-link.js'

/**
 * Parts that a message may be read in: each takes memory beside its bytes. A slow network brings a large one in packets
 * of 1 400 bytes, and some are smaller.
 */
const LEAST_PARTS = 4_096
const PART = 256

/**
 * Names of the listeners of Node and of @fastify/websocket that `ws` makes superfluous; the functions are not exported.
 */
const SUPERFLUOUS = { end: 'onReadableStreamEnd', error: 'onUpgradeSocketError' } as const

/**
 * Removes listeners that are not needed: a list of two listeners for each event costs an idle connection more than this
 * library's own share of it. The application's listeners stay, since it may count its sockets by their `close`.
 */
function forgetListeners (socket: Socket): void {
  for (const event of ['end', 'error'] as const) {
    for (const listener of socket.listeners(event)) {
      if (listener.name === SUPERFLUOUS[event]) socket.removeListener(event, listener as () => void)
    }
  }
}

export interface WebSocketOptions {
  /** Bytes of one inbound message. */
  readonly maxPayload: number
  /** Milliseconds that a peer may take to answer a close frame. */
  readonly closeTimeout: number
  readonly compression: false | { readonly threshold: number }
  readonly flusher: Flusher
  readonly selectProtocol: (offered: Iterable<string>) => string | false
}

export interface Upgrade { readonly raw: IncomingMessage, readonly socket: Duplex, readonly head: Buffer }

/**
 * Makes links from upgrade requests. It has its own `ws` server, so that the message limit, the subprotocol and the
 * close codes hold with any registration of `@fastify/websocket` and any of its options, and so that the shutdown of
 * that plugin leaves the sockets to the drain of this one.
 */
export class WebSocketTransport implements Flushable {
  readonly #server: WebSocketServer
  readonly #compressor: Compressor | undefined
  readonly #flusher: Flusher
  /** Sockets whose handshake is written but still held back. */
  #corked: Socket[] = []

  constructor ({ maxPayload, closeTimeout, compression, flusher, selectProtocol }: WebSocketOptions) {
    this.#flusher = flusher
    this.#compressor = compression === false ? undefined : new Compressor(compression.threshold)
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      autoPong: false,
      maxPayload,
      maxFragments: MAX_FRAGMENTS,
      maxBufferedChunks: Math.max(LEAST_PARTS, Math.ceil(maxPayload / PART)),
      closeTimeout,
      // Neither side keeps a context, and only offers of the full window get here, so one compressed frame fits all
      // connections.
      perMessageDeflate: compression === false
        ? false
        : { serverNoContextTakeover: true, clientNoContextTakeover: true },
      WebSocket: RealtimeSocket,
      handleProtocols: selectProtocol
    } as ConstructorParameters<typeof WebSocketServer>[0])
  }

  /**
   * Completes the handshake.
   *
   * @returns no link when `ws` refuses the handshake or the peer is gone; the socket ends then
   */
  accept ({ raw, socket, head }: Upgrade): Link | undefined {
    if (socket instanceof Socket) {
      if (socket.constructor === Socket) forgetListeners(socket)
      this.#cork(socket)
    // The stream that `injectWS` uses in place of a socket never closes on its own.
    } else socket.once('end', () => { setImmediate(() => { socket.destroy() }) })
    let link: Link | undefined
    const { headers } = raw
    // `ws` accepts a single protocol only, and refuses an upgrade whose compression it could decline.
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
   * Holds the answer to the handshake back until the welcome at the end of this turn, because one write costs the
   * kernel more than the whole upgrade costs this library.
   */
  #cork (socket: Socket): void {
    socket.cork()
    if (this.#corked.push(socket) === 1) this.#flusher.soon(this)
  }

  /** Releases the handshakes in the next tick, by which the outboxes of this turn have been flushed. */
  flush (): void {
    process.nextTick(() => {
      const corked = this.#corked
      this.#corked = []
      for (const socket of corked) socket.uncork()
    })
  }

  close (): void { this.#server.close() }
}
