import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Readiness } from '../admission/readiness.js'
import { PROGRESS } from '../connection/link.js'
import { dropUnsendable } from '../errors/http.js'
import { DeadlineQueue } from '../structures/deadline-queue.js'
import { inTurns } from '../structures/slices.js'
import { after, every } from '../structures/timers.js'
import { takenBy } from '../transports/taken.js'
import { IdleLimits, type Lifted } from './idle-limits.js'
import { PacedAnswer } from './paced-answer.js'

/** Sockets that are ended in one turn of the event loop. */
const AT_ONCE = 50

/** One request of a route of this plugin, until the peer's kernel has its answer or its socket is gone. */
interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly transport: EventEmitter | undefined
  /** What calls back when it is over. */
  over: (() => void) | undefined
  /** What is lifted while it waits. */
  lifted: Lifted | undefined
  /** Bytes that the kernel had accepted from its socket when the peer was last seen to read, and looks from then on. */
  taken: number
  looks: number
  /** The body of an answer over HTTP/2 that is too large for one piece. */
  paced: PacedAnswer | undefined
}

/** Milliseconds that the rest of a body may take while the server closes. */
const BODY = 1_000
/** Milliseconds between two looks at least. */
const LEAST = 10
/** Looks at an answer in `timeouts.write`. */
const LOOKS = 4

/** With HTTP/2 a request has its own stream. */
interface Streamed { readonly stream?: Duplex }

/**
 * The HTTP requests of this plugin's routes. They are followed by their sockets: a response that waits behind another
 * one on the same socket has no socket of its own, and never reports that it is closed.
 */
export class Exchanges {
  readonly #open = new Map<IncomingMessage, Exchange>()
  /** One listener for each socket, however many requests come over it. */
  readonly #ofTransport = new WeakMap<EventEmitter, Set<Exchange>>()
  /** Sockets on which a stream is open: a request behind it can never be answered. */
  readonly #streaming = new WeakSet<EventEmitter>()
  readonly #idleLimits = new IdleLimits()
  readonly #unread: DeadlineQueue<Exchange>
  #drained: (() => void) | undefined

  /** @param write milliseconds in which a peer must have read an answer, or 16 KiB of it */
  constructor (write: number) {
    this.#unread = new DeadlineQueue(Math.max(LEAST, write / LOOKS), (exchange) => { this.#look(exchange) })
  }

  /** Number of requests that are not over. */
  get size (): number { return this.#open.size }

  begin (request: IncomingMessage, response: ServerResponse): void {
    const transport: EventEmitter | undefined = (request as Streamed).stream ??
      (request as { socket?: EventEmitter }).socket
    const exchange: Exchange = {
      request, response, transport, over: undefined, lifted: undefined, taken: 0, looks: 0, paced: undefined
    }
    this.#open.set(request, exchange)
    // Each of them ends it once, so that none has to be taken away, as `once` would.
    response.on('close', () => { this.#end(exchange) })
    if (transport === undefined) return
    let all = this.#ofTransport.get(transport)
    if (all === undefined) {
      const own = new Set<Exchange>()
      all = own
      this.#ofTransport.set(transport, own)
      transport.once('close', () => { for (const each of [...own]) this.#end(each) })
    }
    all.add(exchange)
  }

  /** Calls back once, when the request is over; at once when it is over already. */
  whenOver (request: IncomingMessage, callback: () => void): void {
    const exchange = this.#open.get(request)
    if (exchange === undefined) callback()
    else if (exchange.over === undefined) exchange.over = callback
    else {
      // There are one or two of them, for which a list would take more room.
      const before = exchange.over
      exchange.over = () => {
        before()
        callback()
      }
    }
  }

  /** Tells that a request may be idle for longer than the server allows, until it is over. */
  mayIdle (request: IncomingMessage): void {
    const exchange = this.#open.get(request)
    if (exchange !== undefined && exchange.lifted === undefined) exchange.lifted = this.#idleLimits.lift(request)
  }

  isOpen (request: IncomingMessage): boolean { return this.#open.has(request) }

  /** Tells that the answer has been made: from here on the peer has to read it. */
  answered (request: IncomingMessage, paced?: PacedAnswer): void {
    const exchange = this.#open.get(request)
    if (exchange === undefined) return
    exchange.paced = paced
    exchange.taken = takenOf(exchange)
    exchange.looks = 0
    this.#unread.add(exchange)
  }

  /** Cuts an answer whose peer has read next to nothing in `timeouts.write`. */
  #look (exchange: Exchange): void {
    const taken = takenOf(exchange)
    if (taken - exchange.taken >= PROGRESS) {
      exchange.taken = taken
      exchange.looks = 0
    } else if (++exchange.looks === LOOKS) return cut(exchange)
    this.#unread.add(exchange)
  }

  /** Cuts an answer that the peer has given up. */
  cut (request: IncomingMessage): void {
    const exchange = this.#open.get(request)
    if (exchange !== undefined) cut(exchange)
  }

  /** Whether its answer waits behind that of another request (HTTP pipelining). */
  static isBehind (request: IncomingMessage, response: ServerResponse): boolean {
    return request.httpVersionMajor === 1 && response.socket === null
  }

  streams (request: IncomingMessage): void {
    if (request.httpVersionMajor === 1) this.#streaming.add(request.socket)
  }

  isBehindStream (request: IncomingMessage): boolean {
    return request.httpVersionMajor === 1 && this.#streaming.has(request.socket)
  }

  #end (exchange: Exchange): void {
    const { request, transport, lifted, over } = exchange
    if (!this.#open.delete(request)) return
    this.#unread.delete(exchange)
    if (transport !== undefined) this.#ofTransport.get(transport)?.delete(exchange)
    if (lifted !== undefined) this.#idleLimits.release(lifted)
    over?.()
    if (this.#open.size === 0) this.#drained?.()
  }

  /**
   * Waits for the requests under way, and cuts those that are not over by the deadline, and soon those whose bodies
   * are waited for: a peer that stops in the middle of one would hold up the close.
   *
   * @param deadline by `performance.now()`
   */
  async close (deadline: number): Promise<void> {
    if (this.#open.size === 0) return
    const left = Math.max(0, deadline - performance.now())
    await new Promise<void>((resolve) => {
      let owed: readonly Exchange[] = []
      const look = (): void => {
        void inTurns(owed.filter((each) => this.#open.has(each.request) && isBodyOwed(each)), AT_ONCE, cut)
        owed = [...this.#open.values()].filter(isBodyOwed)
      }
      look()
      const late = every(look, BODY)
      const timer = after(() => {
        clearInterval(late)
        void inTurns([...this.#open.values()], AT_ONCE, cut).then(resolve)
      }, left)
      this.#drained = () => {
        clearInterval(late)
        clearTimeout(timer)
        resolve()
      }
    })
  }

  stop (): void { this.#unread.stop() }
}

/** The session of HTTP/2 counts the bytes of all its streams, so that of these only a paced answer tells. */
function takenOf ({ request: { httpVersionMajor, socket }, paced }: Exchange): number {
  return httpVersionMajor === 1 ? takenBy(socket) ?? 0 : paced?.taken ?? 0
}

/** Returns the body to write in pieces, where one of HTTP/2 is larger than one. */
function pacedOf ({ raw: { httpVersionMajor } }: FastifyRequest, payload: unknown): PacedAnswer | undefined {
  if (httpVersionMajor === 1) return undefined
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload
  return Buffer.isBuffer(body) && body.length > PROGRESS ? new PacedAnswer(body) : undefined
}

/**
 * Whether somebody waits for the rest of a body. As long as nobody reads it, as while a hook of the app runs, the peer
 * may have sent it all.
 */
function isBodyOwed ({ request }: Exchange): boolean { return !request.complete && request.readableFlowing !== null }

function cut ({ request, response }: Exchange): void {
  // The peer has the answer, and may have sent its next request on the socket.
  if (response.writableFinished) return
  const { stream } = request as Streamed
  if (stream !== undefined) stream.destroy()
  else if (request.socket === undefined) response.destroy()
  else request.socket.destroy()
}

/** Follows the requests of a scope from before their bodies are read; the upgrade guard owns upgrades. */
export function followExchanges (scope: FastifyInstance, exchanges: Exchanges, readiness: Readiness): void {
  scope.addHook('onRequest', (request, reply, done) => {
    if (!request.ws) {
      if (exchanges.isBehindStream(request.raw)) {
        // The request can never be answered, and a client that sends it on that socket no longer reads the stream as
        // one.
        void reply.hijack()
        request.raw.socket.destroy()
        return
      }
      exchanges.begin(request.raw, reply.raw)
    }
    done()
  })
  scope.addHook('onSend', (request, reply, payload, done) => {
    // Here the hooks of the app have had their turn.
    if (reply.statusCode >= 400) dropUnsendable(reply)
    if (!request.ws) {
      const paced = pacedOf(request, payload)
      if (paced !== undefined) void reply.header('content-length', paced.size)
      exchanges.answered(request.raw, paced)
      // A socket that stays open for a next request would keep the server from closing for as long as keep-alive lasts.
      if (!readiness.isAccepting && request.raw.httpVersionMajor === 1) void reply.header('connection', 'close')
      if (paced !== undefined) payload = paced
    }
    done(null, payload)
  })
}
