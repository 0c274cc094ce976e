import type { Duplex } from 'node:stream'
import { httpError, secondsOf } from '../errors/http.js'
import type { Refusal } from '../errors/refusal.js'
import { DeadlineQueue } from '../structures/deadline-queue.js'

/** The whole answer to an upgrade, for a socket that no response of Node's is written on. */
function rawAnswer (refusal: Refusal): string {
  const content = httpError(refusal)
  const body = JSON.stringify(content)
  return [
    `HTTP/1.1 ${content.statusCode} ${content.error}`,
    'Connection: close',
    'Content-Type: application/json; charset=utf-8',
    'Cache-Control: no-store',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(content.retryAfter === undefined ? [] : [`Retry-After: ${secondsOf(content.retryAfter)}`]),
    '',
    body
  ].join('\r\n')
}

/** Sockets of refused upgrades on their way out. */
export class RefusedSockets {
  readonly #leaving: DeadlineQueue<Duplex>
  readonly #most: number

  /**
   * @param linger milliseconds that a peer may keep its side open after our answer
   * @param most sockets that leave at once; further ones are destroyed, which may take their answer with them
   */
  constructor (linger: number, most: number) {
    this.#leaving = new DeadlineQueue<Duplex>(linger, (socket) => { socket.destroy() })
    this.#most = most
  }

  /** Writes the answer, and lets the socket go. */
  answer (socket: Duplex, refusal: Refusal): void { this.dismiss(socket, rawAnswer(refusal)) }

  /**
   * Ends our side and reads the other to its end: destroyed at once, unread bytes of the peer would make the kernel
   * reset our answer away.
   */
  dismiss (socket: Duplex, last?: string): void {
    if (socket.destroyed) return
    socket.on('error', () => { socket.destroy() })
    if (last === undefined) socket.end()
    else socket.end(last)
    // These sockets count against no limit, so they are as many as a limit allows or not kept at all.
    if (this.#leaving.size >= this.#most) {
      socket.destroy()
      return
    }
    this.#leaving.add(socket)
    socket.once('close', () => { this.#leaving.delete(socket) })
    socket.resume()
  }

  stop (): void {
    for (const socket of this.#leaving.items()) {
      this.#leaving.delete(socket)
      socket.destroy()
    }
    this.#leaving.stop()
  }
}
