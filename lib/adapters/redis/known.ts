import type { Position } from '../../protocol/position.js'
import { gather } from '../../structures/slices.js'

/** What was seen of one room: its epoch, when that began by the broker's clock, and the highest offset in it. */
interface Seen { readonly epoch: string, readonly at: number, top: number }

/** The rooms with members on this node, which it follows. */
export interface Following {
  readonly size: number
  has (room: string): boolean
  /** Returns where this node stands in the stream of a room that it follows. */
  position (room: string): Position | undefined
}

/** Rooms without members here of which it is remembered what was seen. */
const MAX_KNOWN = 10_000
/** Rooms that one new room may take the place of. */
const FORGOTTEN = 2
/** Known rooms with members here that one new room may move to the end. */
const PASSED = 32

/**
 * Remembers what this node has seen of the streams of rooms, also of those without members here. The broker compares it
 * with its data, because that data cannot tell what is missing in it. At most 10 000 rooms are remembered beside those
 * with members here; beyond that the one that was learnt first is forgotten.
 */
export class KnownStreams {
  readonly #following: Following
  readonly #rooms = new Map<string, Seen>()

  constructor (following: Following) {
    this.#following = following
  }

  /** Returns what was seen of a room as scripts read it: epoch, beginning, offset; empty for nothing. */
  seen (room: string): string {
    const known = this.#rooms.get(room)
    if (known === undefined) return ''
    const { epoch, at, top } = known
    const position = this.#following.position(room)
    return `${epoch} ${at} ${position?.epoch === epoch ? Math.max(top, position.offset) : top}`
  }

  /**
   * Learns where a room's stream stands.
   *
   * @param at when the epoch began, by the broker's clock; 0 where the room has none yet
   */
  learn (room: string, { epoch, offset }: Position, at: number): void {
    const known = this.#rooms.get(room)
    if (known?.epoch === epoch) {
      if (offset > known.top) known.top = offset
      return
    }
    // There is no epoch yet, or the answer is an older one that comes late.
    if (at === 0 || (known !== undefined && at < known.at)) return
    this.#rooms.delete(room)
    this.#rooms.set(room, { epoch, at, top: offset })
    // More than one that is learnt, so that they become fewer again when this node follows fewer rooms than it did.
    const most = MAX_KNOWN + this.#following.size
    for (let count = 0; count < FORGOTTEN && this.#rooms.size > most; count++) this.#forget()
  }

  /** Keeps where this node stands in a room that it is about to leave. */
  leave (room: string): void {
    const known = this.#rooms.get(room)
    const position = this.#following.position(room)
    if (known !== undefined && position?.epoch === known.epoch) known.top = Math.max(known.top, position.offset)
  }

  /** Returns the known rooms without members here. */
  async others (): Promise<string[]> { return await gather(this.#rooms.keys(), (room) => !this.#following.has(room)) }

  #forget (): void {
    let looked = 0
    for (const [room, seen] of this.#rooms) {
      this.#rooms.delete(room)
      if (!this.#following.has(room)) return
      // A room with members here goes behind the others, so that not every new room passes it again.
      this.#rooms.set(room, seen)
      if (++looked === PASSED) return
    }
  }
}
