import type { Packet } from '../protocol/packet.js'
import { encodeCursor, hashRooms, type CursorEntry } from '../protocol/cursor.js'
import type { Position } from '../protocol/position.js'

/** Keeps where a stream or poll stands in each of its rooms; what is written to it moves the positions. */
export class CursorTrack {
  readonly #connection: string
  readonly #hash: string
  readonly #index: ReadonlyMap<string, number>
  readonly #entries: CursorEntry[]

  constructor (connection: string, rooms: readonly string[]) {
    this.#connection = connection
    this.#hash = hashRooms(rooms)
    this.#index = new Map(rooms.map((name, index) => [name, index]))
    this.#entries = rooms.map(() => ({}))
  }

  /** Sets where the peer says that it stands, so that a room that cannot be entered now keeps its place. */
  begin (
    room: string,
    { since, sequence, version }: {
      readonly since?: Position | undefined
      readonly sequence?: number | undefined
      readonly version?: number | undefined
    }
  ): void {
    const index = this.#index.get(room)
    if (index !== undefined) this.#entries[index] = { position: since, presence: sequence, version }
  }

  /** Sets where the events of a room continue after the peer has entered it, and the presence that was sent with it. */
  enter (
    room: string,
    { epoch, offset, members }: {
      readonly epoch?: string | undefined
      readonly offset?: number | undefined
      readonly members?: { readonly sequence: number } | undefined
    }
  ): void {
    const index = this.#index.get(room)
    if (index === undefined) return
    const { presence, version } = this.#entries[index]!
    this.#entries[index] = {
      position: epoch === undefined ? undefined : { epoch, offset: offset! },
      presence: members?.sequence ?? presence,
      version
    }
  }

  /** @returns whether the packet has changed the cursor */
  see ({ room, position, event }: Packet): boolean {
    const index = room === undefined ? undefined : this.#index.get(room)
    if (index === undefined) return false
    const entry = this.#entries[index]!
    if (event?.version !== undefined) {
      entry.version = Math.max(entry.version ?? 0, event.version)
      return true
    }
    if (position === undefined) return false
    entry.position = position
    return true
  }

  toString (): string { return encodeCursor(this.#connection, this.#hash, this.#entries) }
}
