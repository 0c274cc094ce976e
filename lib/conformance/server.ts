import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { after } from '../structures/timers.js'
import type { Attempt, KitTransport, RefusedWith } from './link.js'
import { Posts, sendRefused } from './posts.js'
import { Upgrade } from './socket-link.js'
import { StreamRequest } from './stream-link.js'

/** Attempts that nobody has waited for yet, at most; more than one is a fault of the client that the script finds. */
const MOST = 100

/** The server that a script plays: it accepts and refuses what the script says, and nothing by itself. */
export class ScriptedServer {
  readonly #server: Server
  readonly #prefix: string
  readonly transport: KitTransport
  readonly #posts = new Posts()
  readonly #sockets = new Set<Duplex>()
  readonly #attempts: Attempt[] = []
  #waiting: ((attempt: Attempt) => void) | undefined
  /** What a client is told that asks why its link was refused. */
  refusal: RefusedWith | undefined

  /** @param prefix of the endpoint, such as `/ws` */
  constructor (prefix: string, transport: KitTransport) {
    this.#prefix = prefix
    this.transport = transport
    this.#server = createServer((request, reply) => { this.#answer(request, reply) })
    this.#server.on('upgrade', (request, socket, head) => { this.#upgrade(request, socket, head) })
  }

  /** What a client is expected to open, in words. */
  get asked (): string { return this.transport === 'sse' ? 'stream' : 'WebSocket' }

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
    if (this.transport === 'sse') socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    else this.#take(new Upgrade(request, socket, head, this.#prefix), socket)
  }

  #take (attempt: Attempt, socket: Duplex): void {
    if (this.#waiting !== undefined) this.#waiting(attempt)
    else if (this.#attempts.push(attempt) > MOST) socket.destroy()
  }

  /** Takes streams and what is posted, and says why a link was refused or that it would be accepted. */
  #answer (request: IncomingMessage, reply: ServerResponse): void {
    const { method, url, headers: { accept } } = request
    const { refusal, transport } = this
    const isStream = accept?.includes('text/event-stream') === true || url?.includes('transport=sse') === true
    reply.on('error', () => { reply.destroy() })
    if (url?.includes('verdict=1') === true || method === 'HEAD') {
      if (refusal !== undefined) sendRefused(reply, refusal)
      else reply.setHeader('content-type', 'application/json').end(JSON.stringify({ userId: 'kit' }))
    } else if (transport === 'sse' && method === 'POST') void this.#posts.take(request, reply)
    else if (transport === 'sse' && isStream) {
      this.#take(new StreamRequest(request, reply, this.#posts, this.#prefix), request.socket)
    } else {
      const message = `the kit expects a ${this.asked}`
      const data = { statusCode: 404, code: 'room_unknown', message, retry: 'never' }
      reply.setHeader('content-type', 'application/json').writeHead(404).end(JSON.stringify(data))
    }
  }
}
