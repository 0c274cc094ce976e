import type { Duplex } from 'node:stream'
import { httpError, secondsOf } from '../errors/http.js'
import type { Refusal } from '../errors/refusal.js'
import { DeadlineQueue } from '../structures/deadline-queue.js'

/** Makes the whole answer to an upgrade, for a socket on which Node writes no response. */
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

/** Sockets of refused upgrades that are being closed. */
export class RefusedSockets {
  readonly #leaving: DeadlineQueue<Duplex>
  readonly #most: number

  /**
   * @param linger milliseconds for which a peer may keep its side open after the answer
   * @param most sockets that close at once; further ones are destroyed, which may discard their answer
   */
  constructor (linger: number, most: number) {
    this.#leaving = new DeadlineQueue<Duplex>(linger, (socket) => { socket.destroy() })
    this.#most = most
  }

  /** Writes the answer, and closes the socket. */
  answer (socket: Duplex, refusal: Refusal): void { this.dismiss(socket, rawAnswer(refusal)) }

  /**
   * Ends this side of a socket and reads the other to its end: if it were destroyed at once, unread bytes of the peer
   * would make the kernel discard the answer by a reset.
   */
  dismiss (socket: Duplex, last?: string): void {
    if (socket.destroyed) return
    socket.on('error', () => { socket.destroy() })
    if (last === undefined) socket.end()
    else socket.end(last)
    // These sockets count against no limit of their own, so beyond the limit for upgrades none is kept.
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
