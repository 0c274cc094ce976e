import type { Packet } from '../protocol/packet.js'
import { encodePlaces, encodeStream, hashRooms, MAX_LENGTHS, placesOf, type CursorEntry } from '../protocol/cursor.js'
import type { Part } from '../protocol/part.js'
import type { Position } from '../protocol/position.js'

/** Rooms that are looked through one by one. */
const FEW = 4
/** Characters of texts after which a cursor is due. */
const SAID = 1_024

/** Keeps where a stream or poll stands in each of its rooms; what is written to it moves the positions. */
export class CursorTrack {
  /** The part of its cursors that does not change. */
  readonly stream: string
  readonly #rooms: readonly string[]
  /** Absent where there are so few rooms that to look through them is quicker. */
  readonly #index: ReadonlyMap<string, number> | undefined
  readonly #entries: CursorEntry[]
  /** Characters of texts since the cursor was due last. */
  #unsaid = 0

  constructor (connection: string, rooms: readonly string[]) {
    this.stream = encodeStream(connection, hashRooms(rooms))
    this.#rooms = rooms
    this.#index = rooms.length > FEW ? new Map(rooms.map((name, index) => [name, index])) : undefined
    this.#entries = rooms.map((): CursorEntry => ({}))
  }

  /** Sets where the peer says that it stands, so that a room that cannot be entered now keeps its place. */
  begin (
    room: string,
    { since, sequence, version, known }: {
      readonly since?: Position | undefined
      readonly sequence?: number | undefined
      readonly version?: number | undefined
      readonly known?: {
        readonly version?: number | undefined
        readonly lengths?: ReadonlyMap<number, number> | undefined
      } | undefined
    },
    isOut?: boolean
  ): void {
    const index = this.#indexOf(room)
    if (index === undefined) return
    this.#entries[index] = {
      isOut,
      position: since,
      presence: sequence,
      version,
      grown: known?.version,
      lengths: known?.lengths
    }
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
    const index = this.#indexOf(room)
    if (index === undefined) return
    const before = this.#entries[index]!
    const { version, grown, lengths } = before
    this.#entries[index] = {
      isOut: undefined,
      position: epoch === undefined ? undefined : { epoch, offset: offset! },
      presence: members?.sequence ?? before.presence,
      version,
      grown,
      lengths
    }
  }

  /** @returns whether the packet has changed the cursor */
  see ({ room, position, event }: Packet): boolean {
    const index = room === undefined ? undefined : this.#indexOf(room)
    if (index === undefined) return false
    const entry = this.#entries[index]!
    if (event?.part !== undefined) return this.#grow(entry, event.part)
    if (event?.version !== undefined) {
      entry.version = Math.max(entry.version ?? 0, event.version)
      return true
    }
    if (position === undefined) return false
    entry.position = position
    return true
  }

  /**
   * Moves the place in a room that the peer is in past events of the same epoch that leave the peer out, so that none
   * was written.
   *
   * @param place absent in a room that keeps no history
   */
  reach (room: string, place: Position | undefined): void {
    const index = this.#indexOf(room)
    if (index === undefined) return
    const entry = this.#entries[index]!
    // The server may have taken the peer out of it, and put it into it again.
    entry.isOut = undefined
    const { position } = entry
    if (place === undefined) return
    if (position === undefined || (position.epoch === place.epoch && place.offset > position.offset)) {
      entry.position = place
    }
  }

  /**
   * Forgets the place in a room that the peer is no longer in, and notes that it is out: by the cursor one knows that
   * it has heard so, also of a room that keeps no history.
   */
  leave (room: string): void {
    const index = this.#indexOf(room)
    if (index !== undefined) this.#entries[index] = { isOut: true }
  }

  /**
   * Notes how much the peer has of a text. The cursor is due at the end and after each kilobyte: with every stretch it
   * would cost as much as the text.
   */
  #grow (entry: CursorEntry, { version, begun, to, inside, end }: Part): boolean {
    const lengths = new Map(entry.lengths)
    // The one that grew last stands last.
    lengths.delete(begun)
    if (end === undefined) lengths.set(begun, to)
    if (lengths.size > MAX_LENGTHS) lengths.delete(lengths.keys().next().value!)
    entry.lengths = lengths
    entry.grown = Math.max(entry.grown ?? 0, version)
    this.#unsaid += inside.length
    if (end === undefined && this.#unsaid < SAID) return false
    this.#unsaid = 0
    return true
  }

  #indexOf (room: string): number | undefined {
    if (this.#index !== undefined) return this.#index.get(room)
    const index = this.#rooms.indexOf(room)
    return index === -1 ? undefined : index
  }

  /** Where it stands now. */
  get places (): string { return placesOf(this.#entries) }

  toString (): string { return this.stream + encodePlaces(this.places) }
}
