import { ShardedMap } from '../../structures/sharded-map.js'
import { Slices } from '../../structures/slices.js'
import { ExpiringMap } from '../../structures/expiring-map.js'
import type { PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore, PresentUser } from '../adapter.js'
import { DAY } from '../../retention/bounds.js'

/** When an entry ends, and whose it is. Entries that end together share one, so that they end by one change of it. */
export interface End {
  /** Milliseconds of the clock of the presence; `Infinity` for an entry that is held. */
  until: number
  /** Names the node that holds the entry. */
  readonly by: unknown
}

/** An entry that is held: in one process a connection cannot die without its leave, so it never expires. */
const HELD: End = { until: Number.POSITIVE_INFINITY, by: undefined }
const MAX_SEQUENCES = 100_000

interface Present { data: unknown, readonly connections: Map<string, End> }
interface Presence {
  sequence: number
  readonly users: Map<string, Present>
  /** Users that have an entry with an end: only these need a sweep. */
  readonly ending: Set<string>
}

/** Milliseconds that one turn of the event loop spends on a sweep. */
const SLICE = 1
/** Users between two looks at the clock. */
const LOOKED = 100
/** Users of one room that end together, and of which one announcement tells. */
const AT_ONCE = 500

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
  readonly #searching: Slices
  /** Nodes that have gone, and what is left of the search for their entries. */
  readonly #gone = new Set<unknown>()
  #searched: Iterator<undefined, undefined> | undefined
  /** What is left of the sweep under way. */
  #swept: Iterator<undefined, undefined> | undefined
  /** Sequences of rooms that became empty, so that a peer cannot mistake later members for those that it knows. */
  readonly #sequences: ExpiringMap<number>
  readonly #now: () => number
  readonly #announce: (room: string, change: PresenceChange) => void

  constructor (now: () => number, announce: (room: string, change: PresenceChange) => void) {
    this.#now = now
    this.#sequences = new ExpiringMap(MAX_SEQUENCES, now)
    this.#announce = announce
    this.#sweeping = new Slices(() => this.#sweepSome())
    this.#searching = new Slices(() => this.#searchSome())
  }

  stop (): void {
    this.#sweeping.stop()
    this.#searching.stop()
  }

  /** @param end that of its node, which is gone when its time comes */
  join (room: string, { userId, connection, data }: PresenceEntry, _lease = 0, end = HELD): void {
    let presence = this.#rooms.get(room)
    if (presence === undefined) {
      presence = { sequence: this.#sequences.get(room, this.#now()) ?? 0, users: new Map(), ending: new Set() }
      this.#rooms.set(room, presence)
    }
    const present = presence.users.get(userId)
    if (present !== undefined) {
      present.connections.set(connection, end)
      return
    }
    presence.users.set(userId, { data, connections: new Map([[connection, end]]) })
    this.#announce(room, { sequence: ++presence.sequence, joined: [named(userId, data)], left: [] })
  }

  leave (room: string, { userId, connection }: PresenceEntry, grace: number, by?: unknown): void {
    const presence = this.#rooms.get(room)
    const present = presence?.users.get(userId)
    const held = present?.connections.get(connection)
    if (presence === undefined || present === undefined || held === undefined || held.by !== by) return
    present.connections.set(connection, { until: this.#now() + grace, by })
    presence.ending.add(userId)
    if (grace <= 0) this.#sweepUsers(room, presence, [userId].values())
    else this.#ending.set(room, true)
  }

  /** @param by names the node that asks: who is told that another one holds an entry */
  succeed (room: string, userId: string, former: readonly string[], by?: unknown): boolean {
    const presence = this.#rooms.get(room)
    const present = presence?.users.get(userId)
    if (presence === undefined || present === undefined) return false
    let isElsewhere = false
    for (const connection of former) {
      const held = present.connections.get(connection)
      isElsewhere ||= held !== undefined && held.by !== by && held.until === Number.POSITIVE_INFINITY
      present.connections.delete(connection)
    }
    // The connection that has come back may have left meanwhile.
    if (present.connections.size === 0) this.#sweepUsers(room, presence, [userId].values())
    return isElsewhere
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

  /** Takes the next number for a change that tells nothing: who has missed the one before finds a hole and asks. */
  pass (room: string): void {
    const presence = this.#rooms.get(room)
    const now = this.#now()
    const sequence = (presence?.sequence ?? this.#sequences.get(room, now) ?? 0) + 1
    if (presence === undefined) this.#sequences.set(room, sequence, now + DAY, now)
    else presence.sequence = sequence
    this.#announce(room, { sequence, joined: [], left: [] })
  }

  sweep (): void { this.#sweeping.run() }

  /** Tells that a node has gone, after it was set when its entries end: from now on a sweep finds them. */
  gone (by: unknown): void {
    this.#gone.add(by)
    // A search under way has passed rooms already.
    this.#searched = undefined
    this.#searching.run()
  }

  #searchSome (): boolean {
    this.#searched ??= this.#search()
    const until = performance.now() + SLICE
    for (let looked = 1; this.#searched.next().done !== true; looked++) {
      if (looked % LOOKED === 0 && performance.now() > until) return true
    }
    this.#searched = undefined
    this.#gone.clear()
    return false
  }

  /** Finds the entries of nodes that have gone; each step looks at one user. */
  * #search (): Generator<undefined, undefined> {
    for (const room of this.#rooms.keys()) {
      const presence = this.#rooms.get(room)
      if (presence === undefined) continue
      for (const [userId, { connections }] of presence.users) {
        for (const { by } of connections.values()) {
          if (!this.#gone.has(by)) continue
          presence.ending.add(userId)
          this.#ending.set(room, true)
        }
        yield
      }
    }
    return undefined
  }

  #sweepSome (): boolean {
    this.#swept ??= this.#sweep()
    const until = performance.now() + SLICE
    do {
      if (this.#swept.next().done !== true) continue
      this.#swept = undefined
      return false
    } while (performance.now() <= until)
    return true
  }

  /** Ends what has to end; each step looks at a room, or at a part of one that is large. */
  * #sweep (): Generator<undefined, undefined> {
    for (const room of this.#ending.keys()) {
      const presence = this.#rooms.get(room)
      if (presence === undefined) this.#ending.delete(room)
      else {
        const userIds = presence.ending.values()
        while (this.#sweepUsers(room, presence, userIds)) yield
      }
      yield
    }
    return undefined
  }

  /**
   * Ends users of a room, and announces them before anything else happens to it.
   *
   * @returns whether there may be more of them
   */
  #sweepUsers (room: string, presence: Presence, userIds: Iterator<string>): boolean {
    const now = this.#now()
    const { users, ending } = presence
    const left: Array<{ userId: string, data?: unknown }> = []
    let isOver = false
    for (let looked = 0; looked < AT_ONCE && !isOver; looked++) {
      const { value: userId, done } = userIds.next()
      if (done === true) isOver = true
      else {
        const { data, connections } = users.get(userId)!
        let isEnding = false
        for (const [connection, { until }] of connections) {
          if (until <= now) connections.delete(connection)
          else if (until !== Number.POSITIVE_INFINITY) isEnding = true
        }
        if (!isEnding) ending.delete(userId)
        if (connections.size > 0) continue
        users.delete(userId)
        left.push(named(userId, data))
      }
    }
    if (ending.size === 0) this.#ending.delete(room)
    if (left.length > 0) this.#announce(room, { sequence: ++presence.sequence, joined: [], left })
    // A listener of the announcement may have changed the room meanwhile.
    if (users.size > 0 || this.#rooms.get(room) !== presence) return !isOver
    this.#rooms.delete(room)
    this.#ending.delete(room)
    this.#sequences.set(room, presence.sequence, now + DAY, now)
    return false
  }
}

function named (userId: string, data: unknown): { userId: string, data?: unknown } {
  return data === undefined ? { userId } : { userId, data }
}
