import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { encodeCursor, hashRooms, type CursorEntry } from '../protocol/cursor.js'
import type { Position } from '../protocol/position.js'
import type { Frame } from '../testing/frame-queue.js'
import { AskedUrl, type Attempt, type RefusedWith, type ScriptedLink } from './link.js'
import { sendRefused, type Posts } from './posts.js'

/** What moves the cursor. */
interface Moving {
  readonly type: string
  readonly room?: string
  readonly offset?: number
  readonly data?: {
    readonly rooms?: Readonly<Record<string, Position>>
    readonly epoch?: string
    readonly to?: number
  }
}

/** A stream of Server-Sent Events to the client, which answers by POST. */
class StreamLink implements ScriptedLink {
  readonly id: string = randomBytes(16).toString('base64url')
  readonly #response: ServerResponse
  readonly #posts: Posts
  readonly #rooms: readonly string[]
  readonly #hash: string
  readonly #entries: Array<CursorEntry & { position?: Position | undefined }>

  constructor (response: ServerResponse, posts: Posts, rooms: readonly string[]) {
    this.#response = response
    this.#posts = posts
    this.#rooms = rooms
    this.#hash = hashRooms(rooms)
    this.#entries = rooms.map(() => ({}))
    // As the server does: no chunks, and the end of the socket is the end of the stream.
    response.useChunkedEncodingByDefault = false
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' })
    response.write('retry: 2000\n\n')
  }

  get frames (): Posts['frames'] { return this.#posts.frames }

  send (frame: object): void {
    const { type } = frame as Moving
    const id = this.#moves(frame as Moving) ? `id:${encodeCursor(this.id, this.#hash, this.#entries)}\n` : ''
    const name = type === 'step' ? type : 'realtime'
    this.#response.write(`${id}event:${name}\ndata:${JSON.stringify(frame)}\n\n`)
  }

  /** @returns whether the frame has an id, which is the cursor behind it */
  #moves ({ type, room = '', offset, data }: Moving): boolean {
    const entry = this.#entries[this.#rooms.indexOf(room)]
    if (type === 'welcome') {
      for (const [index, name] of this.#rooms.entries()) {
        const { epoch, offset } = data!.rooms![name] ?? {}
        if (epoch !== undefined) this.#entries[index]!.position = { epoch, offset: offset! }
      }
      return true
    }
    if (entry === undefined) return false
    if (type === 'gap') entry.position = { epoch: data!.epoch!, offset: data!.to! }
    else if (offset !== undefined) entry.position = { ...entry.position!, offset }
    else return false
    return true
  }

  ack (frame: Frame): void { this.#posts.ack(frame) }

  refuse (frame: Frame, reason: RefusedWith): void { this.#posts.refuse(frame, reason) }

  breakOff (frame: Frame): void { this.#posts.breakOff(frame) }

  cut (): void {
    this.#posts.cut()
    this.#response.destroy()
  }

  close (): void { this.#response.end() }
}

/** A stream that the client asks for. */
export class StreamRequest implements Attempt {
  readonly at: number = performance.now()
  readonly fault = undefined
  readonly rooms: readonly string[]
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #posts: Posts
  readonly #url: AskedUrl

  constructor (request: IncomingMessage, response: ServerResponse, posts: Posts, prefix: string) {
    const url = this.#url = new AskedUrl(request.url, prefix)
    this.#request = request
    this.#response = response
    this.#posts = posts
    this.rooms = url.rooms
  }

  since (room: string): Position | undefined {
    const { 'last-event-id': id } = this.#request.headers
    return this.#url.since(room, id === undefined ? undefined : String(id))
  }

  async accept (): Promise<ScriptedLink> { return new StreamLink(this.#response, this.#posts, this.rooms) }

  refuse (reason: RefusedWith): void { sendRefused(this.#response, reason) }
}
