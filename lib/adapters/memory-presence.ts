import { Expiring } from './expiring.js'
import type { PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore } from './adapter.js'

/** Forever on this node's clock: in one process a connection cannot die without its leave. */
const HELD = Number.POSITIVE_INFINITY
const MAX_SEQUENCES = 100_000
const SEQUENCE_TTL = 86_400_000

interface Present { readonly data: unknown, readonly connections: Map<string, number> }
interface Presence { sequence: number, readonly users: Map<string, Present> }

/**
 * Presence of one process: per room a lease set by user and connection. Joins and leaves are decided where the set changes, so each
 * is announced once; a leave inside the grace period is only an end set to an entry, and a return takes the end away.
 */
export class MemoryPresence implements PresenceStore {
  readonly #rooms = new Map<string, Presence>()
  /** rooms that hold an entry with an end: the only ones a sweep has to look at */
  readonly #ending = new Set<string>()
  /** sequences of emptied rooms, so that a peer cannot mistake a later crowd for the one that it knows */
  readonly #sequences = new Expiring<number>(MAX_SEQUENCES)
  readonly #now: () => number
  readonly #announce: (room: string, change: PresenceChange) => void

  constructor (now: () => number, announce: (room: string, change: PresenceChange) => void) {
    this.#now = now
    this.#announce = announce
  }

  join (room: string, { userId, connection, data }: PresenceEntry): void {
    let presence = this.#rooms.get(room)
    if (presence === undefined) {
      presence = { sequence: this.#sequences.get(room, this.#now()) ?? 0, users: new Map() }
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
    const present = this.#rooms.get(room)?.users.get(userId)
    if (present === undefined || !present.connections.has(connection)) return
    present.connections.set(connection, this.#now() + grace)
    this.#ending.add(room)
    if (grace <= 0) this.#sweep(room)
  }

  snapshot (room: string, limit: number): PresenceSnapshot {
    const presence = this.#rooms.get(room)
    if (presence === undefined) return { sequence: this.#sequences.get(room, this.#now()) ?? 0, total: 0, list: [] }
    const { sequence, users } = presence
    if (users.size > limit) return { sequence, total: users.size }
    return { sequence, total: users.size, list: [...users].map(([userId, { data }]) => named(userId, data)) }
  }

  sweep (): void {
    for (const room of this.#ending) this.#sweep(room)
  }

  #sweep (room: string): void {
    const presence = this.#rooms.get(room)!
    const now = this.#now()
    let isEnding = false
    const left: Array<{ userId: string, data?: unknown }> = []
    for (const [userId, { data, connections }] of presence.users) {
      for (const [connection, until] of connections) {
        if (until <= now) connections.delete(connection)
        else if (until !== HELD) isEnding = true
      }
      if (connections.size > 0) continue
      presence.users.delete(userId)
      left.push(named(userId, data))
    }
    if (!isEnding) this.#ending.delete(room)
    if (left.length > 0) this.#announce(room, { sequence: ++presence.sequence, joined: [], left })
    if (presence.users.size > 0) return
    this.#rooms.delete(room)
    this.#ending.delete(room)
    this.#sequences.set(room, presence.sequence, now + SEQUENCE_TTL, now)
  }
}

function named (userId: string, data: unknown): { userId: string, data?: unknown } {
  return data === undefined ? { userId } : { userId, data }
}
