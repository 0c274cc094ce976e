import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Position } from '../protocol/position.js'
import { FrameQueue, type Frame } from '../testing/frame-queue.js'
import { answerOf, AskedUrl, frameOf, type Attempt, type RefusedWith, type ScriptedLink } from './link.js'

/** A WebSocket with the client. */
class SocketLink implements ScriptedLink {
  readonly id: string = randomBytes(16).toString('base64url')
  readonly frames = new FrameQueue()
  readonly #socket: WebSocket

  constructor (socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data) => {
      const frame = frameOf(String(data))
      // A client may look whether the server is there at any time.
      if (frame.type === 'ping') this.send({ type: 'pong' })
      else this.frames.push(frame)
    })
    socket.on('error', () => { socket.terminate() })
    socket.on('close', (code) => { this.frames.end(String(code)) })
  }

  send (frame: object): void { this.#socket.send(JSON.stringify(frame)) }

  ack ({ id, room }: Frame): void { this.send({ type: 'ack', id, room }) }

  refuse ({ id, room }: Frame, reason: RefusedWith): void {
    const { statusCode: _status, ...data } = JSON.parse(answerOf(reason)) as { statusCode: number }
    this.send({ type: 'error', id, room, data })
  }

  cut (): void { this.#socket.terminate() }

  close (code: number, reason: string): void { this.#socket.close(code, reason) }
}

/** An upgrade that the client asks for. */
export class Upgrade implements Attempt {
  readonly at: number = performance.now()
  readonly fault: string | undefined
  readonly rooms: readonly string[]
  readonly #request: IncomingMessage
  readonly #socket: Duplex
  readonly #head: Buffer
  readonly #url: AskedUrl

  constructor (request: IncomingMessage, socket: Duplex, head: Buffer, prefix: string) {
    const url = this.#url = new AskedUrl(request.url, prefix)
    this.#request = request
    this.#socket = socket
    this.#head = head
    this.rooms = url.rooms
    // What a subprotocol carries may be a token.
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim())
    if (!offered.includes('realtime.v1')) this.fault = `it offered ${JSON.stringify(offered.map((each) => each.replace(/^(bearer(64)?)\..*/, '$1')))}`
  }

  since (room: string): Position | undefined { return this.#url.since(room) }

  async accept (): Promise<ScriptedLink> {
    const server = new WebSocketServer({ noServer: true, handleProtocols: () => 'realtime.v1' })
    const socket = await new Promise<WebSocket>((resolve, reject) => {
      server.on('wsClientError', ({ message }) => {
        reject(new Error(`its upgrade is none: ${message}`))
        this.#socket.destroy()
      })
      const gone = (): void => { reject(new Error('it gave up its upgrade before it was let in')) }
      if (this.#socket.destroyed) return gone()
      this.#socket.once('close', gone)
      server.handleUpgrade(this.#request, this.#socket, this.#head, resolve)
    })
    return new SocketLink(socket)
  }

  refuse (reason: RefusedWith): void {
    const body = answerOf(reason)
    this.#socket.end([
      `HTTP/1.1 ${reason.statusCode} Refused`, 'content-type: application/json',
      `retry-after: ${Math.ceil(reason.retryAfter / 1_000)}`, `content-length: ${Buffer.byteLength(body)}`,
      'connection: close', '', body
    ].join('\r\n'))
  }
}
