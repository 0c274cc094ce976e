import type { PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore } from './adapter.js'
import type { NatsState } from './nats-state.js'
import { stateKey } from './nats-tokens.js'
import { decodePresence, encodePresence, type StoredPresence, type StoredUser } from './stored.js'

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
        const user = present.users.get(userId)
        if (user !== undefined) user.connections.set(connection, until)
        else {
          present.users.set(userId, { data, connections: new Map([[connection, until]]) })
          joined.push(named(userId, data))
        }
      }
      return true
    })
  }

  async leave (room: string, { userId, connection }: PresenceEntry, grace: number): Promise<void> {
    await this.#change(room, ({ users }, _joined, left) => {
      const user = users.get(userId)
      if (user?.connections.has(connection) !== true) return false
      user.connections.set(connection, Date.now() + grace)
      if (grace <= 0) expire(users, left)
      return true
    })
  }

  async snapshot (room: string, limit: number): Promise<PresenceSnapshot> {
    const { sequence, users } = await this.#change(room, ({ users }, _joined, left) => expire(users, left))
    return {
      sequence,
      total: users.size,
      ...(users.size > limit ? {} : { list: [...users].map(([userId, { data }]) => named(userId, data)) })
    }
  }

  async sweep (rooms: Iterable<string>): Promise<void> {
    const mine = [...rooms].filter((room) => this.#rooms.has(room))
    for (const room of mine) await this.#change(room, ({ users }, _joined, left) => expire(users, left))
  }

  async #change (room: string, step: (present: StoredPresence, joined: Named[], left: Named[]) => boolean): Promise<StoredPresence> {
    const { present, change } = await this.#state.change<{ present: StoredPresence, change?: PresenceChange }>(stateKey('presence', room), (value) => {
      // Born at the clock, so that a peer who knew an earlier life of this room cannot take this one for it.
      const present = (value === undefined ? undefined : decodePresence(value)) ?? { sequence: Date.now(), users: new Map<string, StoredUser>() }
      const [joined, left]: [Named[], Named[]] = [[], []]
      const isChanged = step(present, joined, left)
      if (!isChanged && value !== undefined) return { result: { present } }
      if (joined.length + left.length === 0) return { value: encodePresence(present), result: { present } }
      const change = { sequence: ++present.sequence, joined, left }
      return { value: encodePresence(present), result: { present, change } }
    })
    if (change !== undefined) this.#announce(room, change)
    return present
  }
}

type Named = { userId: string, data?: unknown }

function named (userId: string, data: unknown): Named {
  return data === undefined ? { userId } : { userId, data }
}

/** @returns whether an entry has run out */
function expire (users: Map<string, StoredUser>, left: Named[]): boolean {
  const now = Date.now()
  let isChanged = false
  for (const [userId, { data, connections }] of users) {
    for (const [connection, until] of connections) {
      if (until > now) continue
      connections.delete(connection)
      isChanged = true
    }
    if (connections.size > 0) continue
    users.delete(userId)
    left.push(named(userId, data))
  }
  return isChanged
}
