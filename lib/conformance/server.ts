import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { after } from '../structures/timers.js'
import { answerOf, Attempt, type RefusedWith } from './attempt.js'

/** Attempts that nobody has waited for yet, at most; more than one is a fault of the client that the script finds. */
const MOST = 100

/** The server that a script plays: it accepts and refuses what the script says, and nothing by itself. */
export class ScriptedServer {
  readonly #server: Server
  readonly #prefix: string
  readonly #sockets = new Set<Duplex>()
  readonly #attempts: Attempt[] = []
  #waiting: ((attempt: Attempt) => void) | undefined
  /** What a client is told that asks why its upgrade was refused. */
  refusal: RefusedWith | undefined

  /** @param prefix of the endpoint, such as `/ws` */
  constructor (prefix: string) {
    this.#prefix = prefix
    this.#server = createServer((request, reply) => { this.#answer(request, reply) })
    this.#server.on('upgrade', (request, socket, head) => { this.#upgrade(request, socket, head) })
  }

  async listen (port: number, host: string): Promise<number> {
    this.#server.listen(port, host)
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  async close (): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** The next attempt to connect; `undefined` when there is none in this time, in milliseconds. */
  async attempt (patience: number): Promise<Attempt | undefined> {
    const first = this.#attempts.shift()
    if (first !== undefined) return first
    return await new Promise((resolve) => {
      const timer = after(() => {
        this.#waiting = undefined
        resolve(undefined)
      }, patience)
      this.#waiting = (attempt) => {
        clearTimeout(timer)
        this.#waiting = undefined
        resolve(attempt)
      }
    })
  }

  #upgrade (request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#sockets.add(socket)
    socket.on('error', () => { socket.destroy() })
    socket.once('close', () => { this.#sockets.delete(socket) })
    const attempt = new Attempt(request, socket, head, this.#prefix)
    if (this.#waiting !== undefined) this.#waiting(attempt)
    else if (this.#attempts.push(attempt) > MOST) socket.destroy()
  }

  /** Says why an upgrade was refused, or that it would be accepted; nothing else is served. */
  #answer (request: IncomingMessage, reply: ServerResponse): void {
    const isVerdict = request.url?.includes('verdict=1') === true || request.method === 'HEAD'
    const { refusal } = this
    reply.setHeader('content-type', 'application/json')
    if (!isVerdict) {
      const data = { statusCode: 404, code: 'room_unknown', message: 'the kit speaks over WebSockets', retry: 'never' }
      reply.writeHead(404).end(JSON.stringify(data))
    } else if (refusal === undefined) reply.writeHead(200).end(JSON.stringify({ userId: 'kit' }))
    else {
      reply.setHeader('retry-after', Math.ceil(refusal.retryAfter / 1_000))
      reply.writeHead(refusal.statusCode).end(answerOf(refusal))
    }
  }
}
