import type { PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore } from './adapter.js'
import { keyOf, type NatsState } from './nats-state.js'

interface User { readonly data?: unknown, readonly connections: Record<string, number> }
interface Present { sequence: number, readonly users: Record<string, User> }

/**
 * Presence of a room as one value, changed by compare and set: who makes the change announces it, so each is announced once. Suits rooms
 * of up to some thousand users: the value must fit in one message of the server (1 MB unless configured otherwise).
 */
export class NatsPresence implements PresenceStore {
  readonly #state: NatsState
  readonly #announce: (room: string, change: PresenceChange) => void
  readonly #rooms = new Set<string>()

  constructor (state: NatsState, announce: (room: string, change: PresenceChange) => void) {
    this.#state = state
    this.#announce = announce
  }

  forget (room: string): void { this.#rooms.delete(room) }

  async join (room: string, entry: PresenceEntry, lease: number): Promise<void> {
    this.#rooms.add(room)
    await this.#join(room, [entry], lease)
  }

  async renew (entries: ReadonlyArray<{ readonly room: string, readonly entry: PresenceEntry }>, lease: number): Promise<void> {
    const byRoom = new Map<string, PresenceEntry[]>()
    for (const { room, entry } of entries) {
      const known = byRoom.get(room)
      if (known === undefined) byRoom.set(room, [entry])
      else known.push(entry)
    }
    await Promise.all([...byRoom].map(([room, list]) => this.#join(room, list, lease)))
  }

  async #join (room: string, entries: readonly PresenceEntry[], lease: number): Promise<void> {
    await this.#change(room, (present, joined) => {
      for (const { userId, connection, data } of entries) {
        const until = Date.now() + lease
        const user = own(present.users, userId)
        if (user !== undefined) user.connections[connection] = until
        else {
          present.users[userId] = { data, connections: { [connection]: until } }
          joined.push(named(userId, data))
        }
      }
      return true
    })
  }

  async leave (room: string, { userId, connection }: PresenceEntry, grace: number): Promise<void> {
    await this.#change(room, ({ users }, _joined, left) => {
      const user = own(users, userId)
      if (user?.connections[connection] === undefined) return false
      user.connections[connection] = Date.now() + grace
      if (grace <= 0) expire(users, left)
      return true
    })
  }

  async snapshot (room: string, limit: number): Promise<PresenceSnapshot> {
    const { sequence, users } = await this.#change(room, ({ users }, _joined, left) => expire(users, left))
    const list = Object.entries(users)
    return {
      sequence,
      total: list.length,
      ...(list.length > limit ? {} : { list: list.map(([userId, { data }]) => named(userId, data)) })
    }
  }

  async sweep (rooms: Iterable<string>): Promise<void> {
    const mine = [...rooms].filter((room) => this.#rooms.has(room))
    for (const room of mine) await this.#change(room, ({ users }, _joined, left) => expire(users, left))
  }

  async #change (room: string, step: (present: Present, joined: Named[], left: Named[]) => boolean): Promise<Present> {
    const { present, change } = await this.#state.change<{ present: Present, change?: PresenceChange }>(keyOf('presence', room), (value) => {
      // Born at the clock, so that a peer who knew an earlier life of this room cannot take this one for it.
      const present = value === undefined ? { sequence: Date.now(), users: {} } : JSON.parse(value) as Present
      const [joined, left]: [Named[], Named[]] = [[], []]
      const isChanged = step(present, joined, left)
      if (!isChanged && value !== undefined) return { result: { present } }
      if (joined.length + left.length === 0) return { value: JSON.stringify(present), result: { present } }
      const change = { sequence: ++present.sequence, joined, left }
      return { value: JSON.stringify(present), result: { present, change } }
    })
    if (change !== undefined) this.#announce(room, change)
    return present
  }
}

type Named = { userId: string, data?: unknown }

function named (userId: string, data: unknown): Named {
  return data === undefined ? { userId } : { userId, data }
}

function own (users: Record<string, User>, userId: string): User | undefined {
  return Object.hasOwn(users, userId) ? users[userId] : undefined
}

/** @returns whether an entry has run out */
function expire (users: Record<string, User>, left: Named[]): boolean {
  const now = Date.now()
  let isChanged = false
  for (const [userId, { data, connections }] of Object.entries(users)) {
    for (const [connection, until] of Object.entries(connections)) {
      if (until > now) continue
      delete connections[connection]
      isChanged = true
    }
    if (Object.keys(connections).length > 0) continue
    delete users[userId]
    left.push(named(userId, data))
  }
  return isChanged
}
