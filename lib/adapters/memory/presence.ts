import { ShardedMap } from '../../structures/sharded-map.js'
import { Slices } from '../../structures/slices.js'
import { ExpiringMap } from '../../structures/expiring-map.js'
import type { PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore, PresentUser } from '../adapter.js'
import { DAY } from '../../retention/bounds.js'

/** End of an entry that is held: in one process a connection cannot die without its leave, so it never expires. */
const HELD = Number.POSITIVE_INFINITY
const MAX_SEQUENCES = 100_000

interface Present { data: unknown, readonly connections: Map<string, number> }
interface Presence {
  sequence: number
  readonly users: Map<string, Present>
  /** Users that have an entry with an end: only these need a sweep. */
  readonly ending: Set<string>
}

/** Milliseconds that one turn of the event loop spends on a sweep. */
const SLICE = 1

/**
 * Presence of one process: a lease for each user and connection of a room. Joins and leaves are decided where the set
 * changes, so each is announced once. A leave within the grace period only gives the entry an end, and a return removes
 * the end.
 */
export class MemoryPresence implements PresenceStore {
  readonly #rooms = new ShardedMap<Presence>()
  /** Rooms that hold an entry with an end: only these need a sweep. */
  readonly #ending = new ShardedMap<true>()
  readonly #sweeping: Slices
  /** What is left of the sweep under way. */
  #swept: Iterator<string, undefined> | undefined
  #next: string | undefined
  /** Sequences of rooms that became empty, so that a peer cannot mistake later members for those that it knows. */
  readonly #sequences = new ExpiringMap<number>(MAX_SEQUENCES)
  readonly #now: () => number
  readonly #announce: (room: string, change: PresenceChange) => void

  constructor (now: () => number, announce: (room: string, change: PresenceChange) => void) {
    this.#now = now
    this.#announce = announce
    this.#sweeping = new Slices(() => this.#sweepSome())
  }

  stop (): void { this.#sweeping.stop() }

  join (room: string, { userId, connection, data }: PresenceEntry): void {
    let presence = this.#rooms.get(room)
    if (presence === undefined) {
      presence = { sequence: this.#sequences.get(room, this.#now()) ?? 0, users: new Map(), ending: new Set() }
      this.#rooms.set(room, presence)
    }
    const present = presence.users.get(userId)
    if (present !== undefined) {
      present.connections.set(connection, HELD)
      return
    }
    presence.users.set(userId, { data, connections: new Map([[connection, HELD]]) })
    this.#announce(room, { sequence: ++presence.sequence, joined: [named(userId, data)], left: [] })
  }

  leave (room: string, { userId, connection }: PresenceEntry, grace: number): void {
    const presence = this.#rooms.get(room)
    const present = presence?.users.get(userId)
    if (presence === undefined || present?.connections.has(connection) !== true) return
    present.connections.set(connection, this.#now() + grace)
    presence.ending.add(userId)
    if (grace <= 0) this.#sweepUsers(room, presence, [userId])
    else this.#ending.set(room, true)
  }

  update (room: string, { userId, data }: PresentUser): boolean {
    const presence = this.#rooms.get(room)
    const present = presence?.users.get(userId)
    if (presence === undefined || present === undefined) return false
    if (JSON.stringify(present.data) === JSON.stringify(data)) return true
    present.data = data
    this.#announce(room, { sequence: ++presence.sequence, joined: [], left: [], changed: [named(userId, data)] })
    return true
  }

  isPresent (room: string, userId: string): boolean { return this.#rooms.get(room)?.users.has(userId) === true }

  snapshot (room: string, limit: number): PresenceSnapshot {
    const presence = this.#rooms.get(room)
    if (presence === undefined) return { sequence: this.#sequences.get(room, this.#now()) ?? 0, total: 0, list: [] }
    const { sequence, users } = presence
    if (users.size > limit) return { sequence, total: users.size }
    return { sequence, total: users.size, list: [...users].map(([userId, { data }]) => named(userId, data)) }
  }

  sweep (): void { this.#sweeping.run() }

  #sweepSome (): boolean {
    this.#swept ??= this.#ending.keys()
    const until = performance.now() + SLICE
    let room = this.#next ?? this.#swept.next().value
    this.#next = undefined
    while (room !== undefined) {
      const presence = this.#rooms.get(room)
      if (presence === undefined) this.#ending.delete(room)
      else this.#sweepUsers(room, presence, presence.ending)
      room = this.#swept.next().value
      if (room === undefined || performance.now() <= until) continue
      // The next room is kept, because it has been taken out of the iterator already. A sweep that has seen all rooms
      // is over, however long it took.
      this.#next = room
      return true
    }
    this.#swept = undefined
    return false
  }

  #sweepUsers (room: string, presence: Presence, userIds: Iterable<string>): void {
    const now = this.#now()
    const { users, ending } = presence
    const left: Array<{ userId: string, data?: unknown }> = []
    for (const userId of userIds) {
      const { data, connections } = users.get(userId)!
      let isEnding = false
      for (const [connection, until] of connections) {
        if (until <= now) connections.delete(connection)
        else if (until !== HELD) isEnding = true
      }
      if (!isEnding) ending.delete(userId)
      if (connections.size > 0) continue
      users.delete(userId)
      left.push(named(userId, data))
    }
    if (ending.size === 0) this.#ending.delete(room)
    if (left.length > 0) this.#announce(room, { sequence: ++presence.sequence, joined: [], left })
    // A listener of the announcement may have changed the room meanwhile.
    if (users.size > 0 || this.#rooms.get(room) !== presence) return
    this.#rooms.delete(room)
    this.#ending.delete(room)
    this.#sequences.set(room, presence.sequence, now + DAY, now)
  }
}

function named (userId: string, data: unknown): { userId: string, data?: unknown } {
  return data === undefined ? { userId } : { userId, data }
}
