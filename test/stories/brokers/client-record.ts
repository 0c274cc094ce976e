export interface Position { readonly epoch: string, readonly offset: number }

/** What one client saw of one room, in the order in which it came. */
export type Entry =
  /** it entered: `asked` is the position that it named */
  | {
    readonly is: 'entered',
    readonly asked: Position | undefined,
    readonly position: Position,
    readonly isResumed: boolean
  }
  /** it was told of a loss, or with `from` equal to `to` only of another epoch */
  | { readonly is: 'gap', readonly epoch: string, readonly from: number | undefined, readonly to: number }
  | { readonly is: 'event', readonly id: string, readonly position: Position }
  /** an event that is not behind the client's position: it has come before */
  | { readonly is: 'repeated', readonly id: string, readonly position: Position }

/** What one client saw of all its rooms. */
export class ClientRecord {
  readonly rooms: ReadonlyMap<string, Entry[]>
  readonly #positions = new Map<string, Position>()
  /** the value of each key of `latest` events, by room */
  readonly levels = new Map<string, Map<string, number>>()
  /** events of rooms that it is not in, and its own that it was to be left out of */
  readonly foreign: string[] = []

  constructor (rooms: readonly string[]) {
    this.rooms = new Map(rooms.map((room) => [room, []]))
  }

  position (room: string): Position | undefined { return this.#positions.get(room) }

  entered (room: string, position: Position, isResumed: boolean, asked: Position | undefined): void {
    this.rooms.get(room)?.push({ is: 'entered', asked, position, isResumed })
    this.#positions.set(room, position)
  }

  gap (room: string, epoch: string, from: number | undefined, to: number): void {
    this.rooms.get(room)?.push({ is: 'gap', epoch, from, to })
    this.#positions.set(room, { epoch, offset: to })
  }

  event (room: string, id: string, offset: number): void {
    const known = this.#positions.get(room)
    if (known === undefined) {
      this.foreign.push(`${id} in ${room}`)
      return
    }
    const position = { epoch: known.epoch, offset }
    if (offset <= known.offset) this.rooms.get(room)!.push({ is: 'repeated', id, position })
    else {
      this.rooms.get(room)!.push({ is: 'event', id, position })
      this.#positions.set(room, position)
    }
  }

  level (room: string, of: string, value: number): void {
    const values = this.levels.get(room) ?? new Map<string, number>()
    values.set(of, value)
    this.levels.set(room, values)
  }
}
