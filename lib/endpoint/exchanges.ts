import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Readiness } from '../admission/readiness.js'
import { DeadlineQueue } from '../structures/deadline-queue.js'
import { inTurns } from '../structures/slices.js'
import { after } from '../structures/timers.js'

/** Sockets that are ended in one turn of the event loop. */
const AT_ONCE = 50

/** One request of a route of ours, until its answer is with the peer's kernel or nothing of its socket is left. */
interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly transport: EventEmitter | undefined
  readonly callbacks: Array<() => void>
}

/** HTTP/2: the request's own stream. */
interface Streamed { readonly stream?: Duplex }

/**
 * The HTTP requests of our routes. What hangs on one of them hangs on its socket: a response that waits behind another
 * one on the same socket has none of its own, and never says that it is closed.
 */
export class Exchanges {
  readonly #open = new Map<IncomingMessage, Exchange>()
  /** one listener for each socket, however many requests come of it */
  readonly #ofTransport = new WeakMap<EventEmitter, Set<Exchange>>()
  /** sockets on which a stream is open: what is behind it can never be answered */
  readonly #streaming = new WeakSet<EventEmitter>()
  readonly #unread: DeadlineQueue<Exchange>
  #drained: (() => void) | undefined

  /** @param write milliseconds that a peer may take for an answer */
  constructor (write: number) {
    this.#unread = new DeadlineQueue(write, (exchange) => { cut(exchange) })
  }

  /** requests that are not over */
  get size (): number { return this.#open.size }

  begin (request: IncomingMessage, response: ServerResponse): void {
    const transport: EventEmitter | undefined = (request as Streamed).stream ??
      (request as { socket?: EventEmitter }).socket
    const exchange: Exchange = { request, response, transport, callbacks: [] }
    this.#open.set(request, exchange)
    response.once('close', () => { this.#end(exchange) })
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

  /** Calls back once, when it is over: at once when it is so by now. */
  whenOver (request: IncomingMessage, callback: () => void): void {
    const exchange = this.#open.get(request)
    if (exchange === undefined) callback()
    else exchange.callbacks.push(callback)
  }

  isOpen (request: IncomingMessage): boolean { return this.#open.has(request) }

  /** Its answer has been made: from here on the peer has `timeouts.write` to take it. */
  answered (request: IncomingMessage): void {
    const exchange = this.#open.get(request)
    if (exchange !== undefined) this.#unread.add(exchange)
  }

  /** The peer has given up the answer. */
  cut (request: IncomingMessage): void {
    const exchange = this.#open.get(request)
    if (exchange !== undefined) cut(exchange)
  }

  /** Its answer waits behind another one's, as HTTP pipelining has it. */
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
    const { request, transport, callbacks } = exchange
    if (!this.#open.delete(request)) return
    this.#unread.delete(exchange)
    if (transport !== undefined) this.#ofTransport.get(transport)?.delete(exchange)
    for (const callback of callbacks) callback()
    if (this.#open.size === 0) this.#drained?.()
  }

  /**
   * Lets what is under way come to its end, and cuts what has not by the deadline. @param deadline by
   * `performance.now()`
   */
  async close (deadline: number): Promise<void> {
    if (this.#open.size === 0) return
    await new Promise<void>((resolve) => {
      const timer = after(() => {
        void inTurns([...this.#open.values()], AT_ONCE, cut).then(resolve)
      }, Math.max(0, deadline - performance.now()))
      this.#drained = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  stop (): void { this.#unread.stop() }
}

function cut ({ request, response }: Exchange): void {
  // The peer has it, and may have sent its next request.
  if (response.writableFinished) return
  const { stream } = request as Streamed
  if (stream !== undefined) stream.destroy()
  else if (request.socket === undefined) response.destroy()
  else request.socket.destroy()
}

/** Follows the requests of a scope, from before their bodies are read; the guard owns upgrades. */
export function followExchanges (scope: FastifyInstance, exchanges: Exchanges, readiness: Readiness): void {
  scope.addHook('onRequest', (request, reply, done) => {
    if (!request.ws) {
      if (exchanges.isBehindStream(request.raw)) {
        // Nobody will ever hear of it, and whoever sends it on that socket reads the stream no more as one.
        void reply.hijack()
        request.raw.socket.destroy()
        return
      }
      exchanges.begin(request.raw, reply.raw)
    }
    done()
  })
  scope.addHook('onSend', (request, reply, payload, done) => {
    if (!request.ws) {
      exchanges.answered(request.raw)
      // A socket that is left open for the next request would hold the server for as long as keep-alive lasts.
      if (!readiness.isAccepting && request.raw.httpVersionMajor === 1) void reply.header('connection', 'close')
    }
    done(null, payload)
  })
}
