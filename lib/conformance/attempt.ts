import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import { decodeCursor } from '../protocol/cursor.js'
import { isPosition, type Position } from '../protocol/position.js'
import { FrameQueue, type Frame } from '../testing/frame-queue.js'

/** What the server says why an upgrade is refused. */
export interface RefusedWith { readonly statusCode: number, readonly code: string, readonly retryAfter: number }

export function answerOf ({ statusCode, code, retryAfter }: RefusedWith): string {
  return JSON.stringify({ statusCode, code, message: 'for the test', retry: 'backoff', retryAfter })
}

/** A link with the client, which a script writes to and reads from. */
export class ScriptedLink {
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

  /** Ends the link as a network does: without a word. */
  cut (): void { this.#socket.terminate() }

  close (code: number, reason: string): void { this.#socket.close(code, reason) }
}

/** What is no frame becomes one that no script waits for, and is shown with what did arrive. */
function frameOf (text: string): Frame {
  try {
    const frame = JSON.parse(text) as Frame
    if (typeof frame.type === 'string') return frame
  } catch {
    // Shown as it is.
  }
  return { type: 'no frame', data: text.slice(0, 200) }
}

/** An upgrade that the client asks for. */
export class Attempt {
  /** When it came, in milliseconds. */
  readonly at: number = performance.now()
  /** Subprotocols, without what they carry. */
  readonly offered: readonly string[]
  /** Rooms that the URL names. */
  readonly rooms: readonly string[]
  readonly #request: IncomingMessage
  readonly #socket: Duplex
  readonly #head: Buffer
  readonly #query: URLSearchParams

  constructor (request: IncomingMessage, socket: Duplex, head: Buffer, prefix: string) {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    const named = decodeURIComponent(pathname.slice(prefix.length + 1))
    this.#request = request
    this.#socket = socket
    this.#head = head
    this.#query = searchParams
    this.rooms = [...named === '' ? [] : [named], ...searchParams.getAll('room')]
    this.offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim())
  }

  /** The position of a room that the URL names; `undefined` where it says none. */
  since (room: string): Position | undefined {
    const index = this.rooms.indexOf(room)
    const cursor = decodeCursor(this.#query.get('since') ?? '', this.rooms)
    if (cursor !== undefined) return cursor.entries[index]?.position
    for (const given of this.#query.getAll('at')) {
      const [at, epoch, offset] = given.split(':')
      const position = { epoch, offset: Number(offset) }
      if (Number(at) === index && isPosition(position)) return position
    }
    return undefined
  }

  async accept (): Promise<ScriptedLink> {
    const server = new WebSocketServer({ noServer: true, handleProtocols: () => 'realtime.v1' })
    const socket = await new Promise<WebSocket>((resolve) => {
      server.handleUpgrade(this.#request, this.#socket, this.#head, resolve)
    })
    return new ScriptedLink(socket)
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
