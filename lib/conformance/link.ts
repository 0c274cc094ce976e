import { decodeCursor } from '../protocol/cursor.js'
import { isPosition, type Position } from '../protocol/position.js'
import type { Frame, FrameQueue } from '../testing/frame-queue.js'

/** The way by which a client under test connects. */
export type KitTransport = 'websocket' | 'sse'

/** Why the server refuses, for a time, what a client asks for. */
export interface RefusedWith { readonly statusCode: number, readonly code: string, readonly retryAfter: number }

export function answerOf ({ statusCode, code, retryAfter }: RefusedWith): string {
  return JSON.stringify({ statusCode, code, message: 'for the test', retry: 'backoff', retryAfter })
}

/** A link with the client, which a script writes to and reads from. */
export interface ScriptedLink {
  readonly id: string
  readonly frames: FrameQueue
  send (frame: object): void
  /** Answers a frame of the client by its ack. */
  ack (frame: Frame): void
  /** Answers a frame of the client by an error. */
  refuse (frame: Frame, reason: RefusedWith): void
  /** Ends the request by which a frame came, and not the link; absent where frames come by the link itself. */
  readonly breakOff?: (frame: Frame) => void
  /** Ends the link as a network does: without a word. */
  cut (): void
  /** Ends the link as the server does, behind the frame that says why. */
  close (code: number, reason: string): void
}

/** A link that the client asks for. */
export interface Attempt {
  /** When it came, in milliseconds. */
  readonly at: number
  /** What is wrong with the way in which it is asked for. */
  readonly fault: string | undefined
  /** Rooms that the URL names. */
  readonly rooms: readonly string[]
  /** The position of a room that the request names; `undefined` where it says none. */
  since (room: string): Position | undefined
  /** @throws Error in words of what the client does wrong */
  accept (): Promise<ScriptedLink>
  refuse (reason: RefusedWith): void
}

/** What the URL of a link says. */
export class AskedUrl {
  readonly rooms: readonly string[]
  readonly #query: URLSearchParams

  /** @param prefix of the endpoint, such as `/ws` */
  constructor (url: string | undefined, prefix: string) {
    const asked = `http://localhost${url ?? '/'}`
    const { pathname, searchParams } = new URL(URL.canParse(asked) ? asked : 'http://localhost/')
    const named = decoded(pathname.slice(prefix.length + 1))
    this.rooms = [...named === '' ? [] : [named], ...searchParams.getAll('room')]
    this.#query = searchParams
  }

  /** @param id the `Last-Event-ID` of a stream */
  since (room: string, id?: string): Position | undefined {
    const index = this.rooms.indexOf(room)
    const cursor = decodeCursor(id ?? this.#query.get('since') ?? '', this.rooms)
    if (cursor !== undefined) return cursor.entries[index]?.position
    for (const given of this.#query.getAll('at')) {
      const [at, epoch, offset] = given.split(':')
      const position = { epoch, offset: Number(offset) }
      if (Number(at) === index && isPosition(position)) return position
    }
    return undefined
  }
}

/** What is no UTF-8 stays as it is, and names no room that a script has. */
function decoded (name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** What is no frame becomes one that no script waits for, and is shown with what did arrive. */
export function frameOf (text: string): Frame {
  try {
    const frame = JSON.parse(text) as Frame
    if (typeof frame.type === 'string') return frame
  } catch {
    // Shown as it is.
  }
  return { type: 'no frame', data: text.slice(0, 200) }
}
