import { isUncertain } from '../../errors/refusal.js'
import { grouped } from '../../structures/grouped.js'
import { gather, inTurns, settleInBatches, throwFirst } from '../../structures/slices.js'
import type { PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore, PresentUser, ShownUser } from '../adapter.js'
import type { NatsClock } from './clock.js'
import { keyOf } from '../../protocol/key.js'
import { drop, endOf, heldName, isHeldElsewhere, isLiving, isTakenSince, nextStamp } from './held.js'
import { decoded, type NatsState, type Step } from './state.js'
import { stateKey } from './tokens.js'
import { Nodes } from '../broker/nodes.js'
import { decodePresence, encodePresence, type StoredPresence, type StoredUser } from '../broker/stored.js'
import { Stamps } from '../broker/stamps.js'
import { isAway } from '../broker/standing.js'
import { Burial, Round } from '../broker/sweeping.js'
import type { Unread } from '../broker/unread.js'

export interface NatsPresenceOptions {
  readonly state: NatsState
  readonly clock: NatsClock
  readonly nodes: Nodes
  /** Announces a change to all nodes that subscribed the room, this one included; it may be lost. */
  readonly announce: (room: string, change: PresenceChange) => void
  readonly unread: Unread
  /** Delivers a change to the members here. */
  readonly deliver: (room: string, change: PresenceChange) => void
}

/** Changes that are kept beside the users, for nodes that have missed an announcement. */
const MAX_RECENT = 8
/** Users in the changes that are kept. */
const MAX_RECENT_USERS = 64
/** Rooms that one sweep examines although nothing is known to expire there. */
const MAX_LOOKED = 10
/** Rooms that are examined together. */
const BATCH = 50
/** Rooms that are marked in one turn of the event loop. */
const AT_ONCE = 1_000

/** A room that has members here, or had some whose grace has not ended. */
interface Watched {
  /** Sequence of the newest change that was delivered here. */
  heard: number | undefined
  /** Time at which the first entry expires as far as known, by the broker's clock. */
  due: number
  /** Time at which the last entry expires that was left here; no other node may be there to see it. */
  leftUntil: number
  /** Number of the newest break of the link since which it was read. */
  read: number
  /** Number of the last sweep in which it was a room with members here. */
  sweep: number
}

const NONE: ReadonlyMap<unknown, unknown> = new Map()

type Named = { userId: string, data?: unknown }

/** What came of steps: the room, the changes that were kept before, and those that were made. */
interface Applied {
  readonly present: StoredPresence
  readonly kept: readonly PresenceChange[]
  readonly changes: readonly PresenceChange[]
}

interface Waiting {
  readonly step: (present: StoredPresence, joined: Named[], left: Named[], changed: Named[]) => boolean
  readonly resolve: (present: StoredPresence) => void
  readonly reject: (error: unknown) => void
}

/**
 * Presence of a room as one value, changed by compare and set. The node that makes a change announces it, so each is
 * announced once, and keeps it beside the users for a while, so that a node whose link was broken can deliver it late.
 * This suits rooms of up to some thousand users: the value must fit in one message of the server (1 MB unless
 * configured otherwise).
 */
export class NatsPresence implements PresenceStore {
  readonly #options: NatsPresenceOptions
  readonly #rooms = new Map<string, Watched>()
  readonly #waiting = new Map<string, Waiting[]>()
  /** Rooms with a change that may be made, but of which nobody was told, each with the sequence before it. */
  readonly #untold = new Map<string, number>()
  /** Time at which this node took each entry that it holds, by room and connection. */
  readonly #stamps = new Stamps()
  /** The leases of what lives as long as its node: that of this node's presence, and that of its contract. */
  readonly #leases = new Set<number>()
  /** Whether there are entries that do not say which node holds them. */
  #isUnmarked = false
  readonly #burial: Burial
  readonly #round = new Round(() => this.#rooms.keys())
  /** Number of the newest break of the link. */
  #breaks = 0
  /** Whether changes that were announced meanwhile have not been read yet. */
  #isBehind = false
  /** Number of the sweep under way. */
  #sweep = 0

  constructor (options: NatsPresenceOptions) {
    this.#options = options
    this.#burial = new Burial(options.nodes, async () => {
      // Those of which that failed are due, so that the next sweep looks at them alone.
      for (const room of (await this.#lookAt(this.#rooms.keys())).keys()) {
        const watched = this.#rooms.get(room)
        if (watched !== undefined) watched.due = 0
      }
    })
  }

  forget (room: string): void {
    const watched = this.#rooms.get(room)
    if (watched === undefined) return
    watched.heard = undefined
    if (watched.leftUntil === 0) this.#rooms.delete(room)
  }

  async join (room: string, entry: PresenceEntry, lease: number): Promise<ShownUser | undefined> {
    if (!this.#rooms.has(room)) {
      const due = Number.POSITIVE_INFINITY
      this.#rooms.set(room, { heard: undefined, due, leftUntil: 0, read: this.#breaks, sweep: 0 })
    }
    this.#stamps.begin(keyOf(room, entry.connection), entry.fence)
    const { users } = await this.#join(room, [entry], lease, false)
    const { data, changed } = users.get(entry.userId) ?? {}
    return changed === undefined || isSame(data, entry.data) ? undefined : { ...named(entry.userId, data), changed }
  }

  renewal (lease: number): number { return Nodes.renewal(lease) }

  async renew (
    entries: ReadonlyArray<{ readonly room: string, readonly entry: PresenceEntry }>,
    lease: number
  ): Promise<void> {
    const steps = [...grouped(entries, ({ room }) => room)].map(async ([room, list]) => {
      await this.#join(room, list.map(({ entry }) => entry), lease, true)
    })
    await Promise.all(steps)
  }

  async #join (
    room: string, entries: readonly PresenceEntry[], lease: number, isRenewal: boolean
  ): Promise<StoredPresence> {
    const { clock, nodes } = this.#options
    const mark = nodes.mark(lease)
    if (mark === '') this.#isUnmarked = true
    else this.#leases.add(lease)
    const until = endOf(mark, lease, clock.now())
    let taken = 0
    const after = await this.#change(!isRenewal, room, (present, joined, _left, shown) => {
      for (const { userId, connection, data, changed } of entries) {
        const user = present.users.get(userId) ?? { data, changed, connections: new Map<string, number>() }
        const known = this.#stamps.renew(keyOf(room, connection))
        // The connection polls another node by now, of which this node has not heard yet.
        if (isRenewal && isTakenSince(user.connections, connection, nodes.id, known)) continue
        taken = isRenewal && known > 0 ? known : nextStamp(user.connections, connection, clock.now())
        drop(user.connections, connection)
        user.connections.set(heldName(connection, mark, taken), until)
        if (!present.users.has(userId)) {
          present.users.set(userId, user)
          joined.push(named(userId, data))
        } else if ((changed ?? 0) > (user.changed ?? 0)) {
          const isShown = isSame(user.data, data)
          user.changed = isShown ? changed : present.sequence + 1
          user.data = data
          if (!isShown) shown.push(named(userId, data))
        }
      }
      return true
    })
    if (!isRenewal) for (const { connection } of entries) this.#stamps.set(keyOf(room, connection), taken)
    return after
  }

  async leave (room: string, { userId, connection, fence }: PresenceEntry, grace: number): Promise<void> {
    const { clock, nodes } = this.#options
    const now = clock.now()
    const name = keyOf(room, connection)
    if (this.#stamps.isPast(name, fence)) return
    const stamp = this.#stamps.get(name)
    const watched = this.#rooms.get(room)
    if (watched !== undefined && grace > 0) watched.leftUntil = Math.max(watched.leftUntil, now + grace)
    await this.#change(true, room, ({ users }, _joined, left) => {
      const user = users.get(userId)
      // The entry of another node, which has it under the same name by now, stays.
      if (user === undefined || !drop(user.connections, connection, nodes.id, stamp)) return false
      user.connections.set(connection, now + grace)
      if (grace <= 0) expire(users, left, now, nodes)
      return true
    })
    this.#stamps.forget(name, stamp, fence)
  }

  async succeed (room: string, userId: string, former: readonly string[]): Promise<boolean> {
    const { clock, nodes } = this.#options
    let isElsewhere = false
    await this.#change(true, room, ({ users }, _joined, left) => {
      const user = users.get(userId)
      isElsewhere = false
      if (user === undefined) return false
      const ended = former.filter((connection) => {
        isElsewhere ||= isHeldElsewhere(user.connections, connection, nodes.id, this.#isUnmarked)
        return drop(user.connections, connection)
      })
      // The connection that has come back may have left meanwhile.
      if (user.connections.size === 0) expire(users, left, clock.now(), nodes)
      return ended.length > 0
    })
    return isElsewhere
  }

  async update (room: string, { userId, data }: PresentUser): Promise<boolean> {
    let isThere = false
    await this.#change(true, room, (present, _joined, _left, changed) => {
      const user = present.users.get(userId)
      isThere = user !== undefined
      if (user === undefined || isSame(user.data, data)) return false
      user.data = data
      user.changed = present.sequence + 1
      changed.push(named(userId, data))
      return true
    })
    return isThere
  }

  async isPresent (room: string, userId: string): Promise<boolean> {
    const { state, unread } = this.#options
    const value = await state.read(stateKey('presence', room))
    return decoded('presence', value, decodePresence, unread)?.users.has(userId) === true
  }

  async snapshot (room: string, limit: number): Promise<PresenceSnapshot> {
    const { sequence, users } = await this.#look(room, true)
    return {
      sequence,
      total: users.size,
      ...(users.size > limit ? {} : { list: [...users].map(([userId, { data }]) => named(userId, data)) })
    }
  }

  async #look (room: string, isUrgent = false): Promise<StoredPresence> {
    const { clock, nodes } = this.#options
    return await this.#change(isUrgent, room, ({ users }, _joined, left) => expire(users, left, clock.now(), nodes))
  }

  /** Looks at rooms, some at a time; those of which it fails keep none of the others back. */
  async #lookAt (rooms: Iterable<string>): Promise<Map<string, unknown>> {
    return await settleInBatches(rooms, BATCH, async (room) => { await this.#look(room) }, isAway)
  }

  /** @throws what came of one of the rooms, when all others have been swept */
  async sweep (rooms: Iterable<string>): Promise<void> {
    const unread = this.#isBehind ? await this.#catchUp() : NONE
    const sweep = ++this.#sweep
    await inTurns(rooms, AT_ONCE, (room) => {
      const watched = this.#rooms.get(room)
      if (watched !== undefined) watched.sweep = sweep
    })
    const now = this.#options.clock.now()
    const isHere = (watched: Watched): boolean => watched.sweep === sweep
    const due = await gather(this.#rooms, ([, watched]) => (isHere(watched) ? watched.due : watched.leftUntil) <= now)
    const rest = this.#round.next(MAX_LOOKED).flatMap((room): Array<[string, Watched]> => {
      const watched = this.#rooms.get(room)
      return watched === undefined ? [] : [[room, watched]]
    })
    const untold = await this.#lookAt([...this.#untold.keys()])
    const unswept = await settleInBatches([...due, ...rest], BATCH, async ([room, watched]) => {
      await this.#look(room)
      if (this.#rooms.get(room) !== watched || watched.leftUntil > now) return
      watched.leftUntil = 0
      if (!isHere(watched)) this.#rooms.delete(room)
    }, isAway)
    await this.#burial.run(this.#leases)
    for (const failed of [unread, untold, unswept]) throwFirst(failed)
  }

  /**
   * Called after the link was broken: changes that were announced meanwhile are delivered now, or with the next sweep
   * where that fails.
   */
  async up (): Promise<void> {
    this.#breaks++
    this.#isBehind = true
    const unread = await this.#catchUp()
    const untold = await this.#lookAt([...this.#untold.keys()])
    for (const failed of [unread, untold]) throwFirst(failed)
  }

  /** Reads the rooms that have not been read since the link was broken last. */
  async #catchUp (): Promise<ReadonlyMap<unknown, unknown>> {
    const before = this.#breaks
    const rooms = await gather(this.#rooms, ([, { heard, read }]) => heard !== undefined && read !== before)
    const unread = await settleInBatches(rooms, BATCH, async ([room, watched]) => {
      await this.#look(room)
      watched.read = before
    }, isAway)
    this.#isBehind &&= before !== this.#breaks || unread.size > 0
    return unread
  }

  /** Takes a change that was announced. */
  heard (room: string, change: PresenceChange): void {
    const watched = this.#rooms.get(room)
    if (watched !== undefined) {
      if (watched.heard !== undefined && change.sequence <= watched.heard) return
      watched.heard = change.sequence
    }
    this.#options.deliver(room, change)
  }

  /** Makes changes that wait for one room in one write. */
  async #change (isUrgent: boolean, room: string, step: Waiting['step']): Promise<StoredPresence> {
    return await new Promise((resolve, reject) => {
      const one = { step, resolve, reject }
      const others = this.#waiting.get(room)
      if (others !== undefined) others.push(one)
      else {
        this.#waiting.set(room, [one])
        void this.#work(room, isUrgent)
      }
    })
  }

  /** Never rejects. */
  async #work (room: string, isUrgent: boolean): Promise<void> {
    for (let waiting = this.#waiting.get(room)!; waiting.length > 0; waiting = this.#waiting.get(room)!) {
      let taken: readonly Waiting[] = waiting
      let first: PresenceChange | undefined
      try {
        const applied = await this.#options.state.change(stateKey('presence', room), (value) => {
          taken = [...waiting]
          const done = this.#apply(taken, value, room)
          first = done.result.changes[0]
          return done
        }, isUrgent)
        this.#waiting.set(room, waiting.slice(taken.length))
        this.#changed(room, applied)
        for (const { resolve } of taken) resolve(applied.present)
      } catch (error) {
        this.#waiting.set(room, waiting.slice(taken.length))
        if (first !== undefined && isUncertain(error) && !this.#untold.has(room)) {
          this.#untold.set(room, first.sequence - 1)
        }
        for (const { reject } of taken) reject(error)
      }
    }
    this.#waiting.delete(room)
  }

  #apply (steps: readonly Waiting[], value: string | undefined, room: string): Step<Applied> {
    const heard = this.#rooms.get(room)?.heard
    const told = Math.min(heard ?? Number.POSITIVE_INFINITY, this.#untold.get(room) ?? Number.POSITIVE_INFINITY)
    // A new room's sequence begins at the clock, so that a peer that knew an earlier life of this room cannot take this
    // one for it.
    const known = decoded('presence', value, decodePresence, this.#options.unread)
    const present = known ?? { sequence: this.#options.clock.now(), users: new Map<string, StoredUser>(), recent: [] }
    const kept = present.recent
    const changes: PresenceChange[] = []
    const isOlder = present.sequence < (heard ?? 0)
    // Where the newest change is not kept, its number may be the one that follows, and members would not ask. The
    // number behind it leaves a hole for all who have missed it, and tells the others nothing.
    const isUnsaid = present.sequence > told && kept.at(-1)?.sequence !== present.sequence
    // The store has older data than members have seen. Members ignore a number that they know, and take the next one
    // for an ordinary change; another node may have received more than this one. The clock is above all of them.
    if (isOlder) present.sequence = Math.max(heard! + 1, this.#options.clock.now())
    if (isOlder || isUnsaid) changes.push({ sequence: ++present.sequence, joined: [], left: [] })
    let isChanged = value === undefined || changes.length > 0
    for (const { step } of steps) {
      const [joined, left, changed]: [Named[], Named[], Named[]] = [[], [], []]
      if (step(present, joined, left, changed)) isChanged = true
      if (joined.length + left.length + changed.length === 0) continue
      changes.push({
        sequence: ++present.sequence,
        joined,
        left,
        ...(changed.length === 0 ? {} : { changed })
      })
    }
    present.recent = lastOf([...kept, ...changes])
    return { ...(isChanged ? { value: encodePresence(present) } : {}), result: { present, kept, changes } }
  }

  #changed (room: string, { present, kept, changes }: Applied): void {
    const { deliver, announce } = this.#options
    const watched = this.#rooms.get(room)
    const before = present.sequence - changes.length
    const untold = this.#untold.get(room)
    this.#untold.delete(room)
    if (watched !== undefined) {
      const { heard } = watched
      watched.heard = present.sequence
      watched.due = firstEnd(present)
      if (heard !== undefined) for (const change of between(kept, heard, before)) deliver(room, change)
    }
    // Whoever makes a change again whose answer was lost finds it made, and changes nothing.
    if (untold !== undefined) for (const change of between(kept, untold, before)) announce(room, change)
    for (const change of changes) {
      // Of a room in which nobody is by this node, the announcement comes back like those of others.
      if (watched !== undefined) deliver(room, change)
      announce(room, change)
    }
  }
}

/** The changes behind a number, up to another one. Where not all of them are kept, the first that is leaves a hole. */
function between (kept: readonly PresenceChange[], known: number, last: number): readonly PresenceChange[] {
  return kept.filter(({ sequence }) => sequence > known && sequence <= last)
}

function firstEnd ({ users }: StoredPresence): number {
  let first = Number.POSITIVE_INFINITY
  for (const { connections } of users.values()) {
    for (const until of connections.values()) if (until < first) first = until
  }
  return first
}

function isSame (one: unknown, other: unknown): boolean { return JSON.stringify(one) === JSON.stringify(other) }

function named (userId: string, data: unknown): Named {
  return data === undefined ? { userId } : { userId, data }
}

/** The newest changes, as far as they are small. */
function lastOf (changes: readonly PresenceChange[]): PresenceChange[] {
  const kept: PresenceChange[] = []
  let users = 0
  for (const change of changes.slice(-MAX_RECENT).reverse()) {
    users += change.joined.length + change.left.length + (change.changed?.length ?? 0)
    if (users > MAX_RECENT_USERS) break
    kept.unshift(change)
  }
  return kept
}

/** @returns whether an entry has expired */
function expire (users: Map<string, StoredUser>, left: Named[], now: number, nodes: Nodes): boolean {
  let isChanged = false
  for (const [userId, { data, connections }] of users) {
    for (const [connection, until] of connections) {
      if (isLiving(connection, until, now, nodes)) continue
      connections.delete(connection)
      isChanged = true
    }
    if (connections.size > 0) continue
    users.delete(userId)
    left.push(named(userId, data))
  }
  return isChanged
}
