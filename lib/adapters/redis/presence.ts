import { keyOf } from '../../protocol/key.js'
import { isOffset } from '../../protocol/position.js'
import { grouped } from '../../structures/grouped.js'
import { OrderedMap } from '../../structures/ordered-map.js'
import type { PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore, PresentUser, ShownUser } from '../adapter.js'
import { decodeNamed, decodePresenceChange } from '../broker/decode.js'
import type { Unread } from '../broker/unread.js'
import { namesOf, Nodes } from '../broker/nodes.js'
import type { Keys } from './keys.js'
import type { RedisLink } from './link.js'
import { manySettled } from './many.js'
import {
  PRESENCE_JOIN, PRESENCE_LEAVE, PRESENCE_LOOK, PRESENCE_MISSED, PRESENCE_SUCCEED, PRESENCE_SWEEP, PRESENCE_UPDATE
} from './scripts/presence.js'
import { stepByShard } from './shards.js'
import { Unreachable } from './unreachable.js'
import { Stamps } from '../broker/stamps.js'
import { Burial, Round } from '../broker/sweeping.js'

type Named = PresenceChange['joined'][number]

/** Numbers of changes of a room that this node knows. */
interface Heard {
  /** the newest that its members were told; a list that one of them has read tells the others nothing */
  told: number
  /** the newest of all, that of a list included */
  seen: number
}

/** When something expires in a room, by `performance.now()`: the next, and the last that is known of. */
interface Due { readonly next: number, readonly last: number }

/** The number of the change in what is kept of a user. */
const CHANGED = /,"n":(\d{1,16})\}$/
/** Entries of one room in one renewal, and rooms that are swept at a time. */
const BATCH = 200
/** Rooms in which something expires; beyond them, the oldest are found by the next check of their positions. */
const MAX_DUE = 100_000
/** Milliseconds after a sweep of a room at which what expires there before the last is looked for. */
const BETWEEN = 1_000
/** Rooms that one sweep examines because something has expired there. */
const MAX_SWEPT = 2_000
/** Rooms that one sweep examines although nothing is known to expire there. */
const MAX_LOOKED = 500

/** Presence across nodes: a set of leases per room, changed and announced by one script each. */
export class RedisPresence implements PresenceStore {
  readonly #link: RedisLink
  readonly #keys: Keys
  readonly #unread: Unread
  readonly #nodes: Nodes
  /** What this node holds, by room. */
  readonly #rooms = new Map<string, Set<string>>()
  /**
   * Rooms in which something expires, with or without members, and when, by `performance.now()`. No other node may be
   * there to see it.
   */
  readonly #due = new OrderedMap<Due>()
  /** The longest lease asked for. */
  #lease = 0
  /** The leases of what lives as long as its node: that of this node's presence, and that of its contract. */
  readonly #leases = new Set<number>()
  /** Whether there are entries that do not say which node holds them. */
  #isUnmarked = false
  readonly #burial: Burial
  /** Rooms here from which it could not be removed what dead nodes held. */
  readonly #unburied = new Set<string>()
  readonly #round = new Round(() => this.#rooms.keys())
  /** Time by `performance.now()` until which entries may have expired only because they could not be renewed. */
  #heldUntil = 0
  #downAt: number | undefined
  /** Time at which this node took each entry that it holds, by `nameOf`. */
  readonly #stamps = new Stamps()
  readonly #sequences = new Map<string, Heard>()
  /** Joins under way, by `nameOf`. */
  readonly #joining = new Map<string, Promise<unknown>>()

  constructor (link: RedisLink, keys: Keys, unread: Unread, nodes: Nodes) {
    this.#nodes = nodes
    this.#link = link
    this.#unread = unread
    this.#keys = keys
    this.#burial = new Burial(nodes, (dead) => this.#buryAll(dead))
  }

  down (): void { this.#downAt ??= performance.now() }

  renewal (lease: number): number { return Nodes.renewal(lease) }

  /**
   * Called when the broker is back. Entries are renewed only now and then, so after a longer absence each node gets
   * some time to renew before any node sweeps.
   */
  up (): void {
    const now = performance.now()
    if (this.#downAt !== undefined && now - this.#downAt > this.renewal(this.#lease)) {
      this.#heldUntil = now + this.#lease / 2
    }
    this.#downAt = undefined
  }

  /** Tells that something in the room has expired, or soon will. */
  look (room: string, wait: number): void {
    const at = performance.now() + wait
    const { next = at, last = at } = this.#due.get(room) ?? {}
    this.#due.set(room, { next: Math.min(next, at), last: Math.max(last, at) })
    if (this.#due.size > MAX_DUE) this.#due.shift()
  }

  /** Whether it is certain that no entry is this node's any more. */
  get isEmpty (): boolean { return this.#stamps.isEmpty }

  /** Whether this node holds presence in the room. */
  isHeld (room: string): boolean { return this.#rooms.has(room) }

  forget (room: string): void {
    this.#rooms.delete(room)
    this.#sequences.delete(room)
  }

  /** Rooms that had a join here. */
  get rooms (): Iterable<string> { return this.#rooms.keys() }

  /** Takes the number of a change that the members here are told. */
  heard (room: string, sequence: number): void {
    const heard = this.#seen(room, sequence)
    heard.told = Math.max(heard.told, sequence)
  }

  /** Takes the number of a list. The first one is where this node begins. */
  #seen (room: string, sequence: number): Heard {
    let heard = this.#sequences.get(room)
    if (heard === undefined) this.#sequences.set(room, heard = { told: sequence, seen: sequence })
    heard.seen = Math.max(heard.seen, sequence)
    return heard
  }

  /**
   * Reads changes that this node has not received, oldest first. Where not all of them are kept, the last one leaves a
   * hole, after which members ask; so does a room of which this node has heard nothing since it joined it.
   */
  async missed (room: string): Promise<readonly PresenceChange[]> {
    const known = this.#sequences.get(room)
    if (known === undefined) {
      const { sequence } = await this.snapshot(room, 0)
      return this.#rooms.has(room) ? [{ sequence, joined: [], left: [] }] : []
    }
    const { told } = known
    const [top = '', ...texts] = await this.#link.script(
      PRESENCE_MISSED,
      this.#keys.presence(room),
      [this.#link.run, text(told), text(known.seen)]
    ) as string[]
    // The room was left meanwhile, and its sequence would be kept for ever.
    if (!this.#sequences.has(room)) return []
    const changes = texts.flatMap((text) => this.#change(text)).filter(({ sequence }) => sequence > told).reverse()
    const sequence = Number(top)
    if (top !== '' && sequence > told && changes.at(-1)?.sequence !== sequence) {
      changes.push({ sequence, joined: [], left: [] })
    }
    for (const change of changes) this.heard(room, change.sequence)
    return changes
  }

  async join (room: string, entry: PresenceEntry, lease: number): Promise<ShownUser | undefined> {
    this.#lease = Math.max(this.#lease, lease)
    const name = nameOf(room, entry)
    if (this.#nodes.mark(lease) !== '') this.#stamps.begin(name, entry.fence)
    const joining = this.#join(room, [entry], lease, false)
    this.#joining.set(name, joining)
    try {
      const [taken, shown] = await joining
      if (taken !== '') this.#stamps.set(name, Number(taken))
      return shown === '' ? undefined : this.#shown(shown)
    } catch (error) {
      // It may have been taken all the same, and by its fence alone it would be remembered.
      if (entry.fence === undefined) this.#stamps.doubt()
      throw error
    } finally {
      if (this.#joining.get(name) === joining) this.#joining.delete(name)
    }
  }

  async renew (
    entries: ReadonlyArray<{ readonly room: string, readonly entry: PresenceEntry }>,
    lease: number
  ): Promise<void> {
    const steps: Array<Promise<unknown>> = []
    for (const [room, list] of grouped(entries, ({ room }) => room)) {
      for (let index = 0; index < list.length; index += BATCH) {
        const some = list.slice(index, index + BATCH).map(({ entry }) => entry)
        steps.push(this.#join(room, some, lease, true))
      }
    }
    await Promise.all(steps)
  }

  /**
   * @returns when the last of them was taken, by the broker's clock, '' for entries that do not live as long as the
   *   node; and what is shown of its user, '' where that is what the entry says
   */
  async #join (
    room: string, entries: readonly PresenceEntry[], lease: number, isRenewal: boolean
  ): Promise<readonly [taken: string, shown: string]> {
    const known = this.#rooms.get(room)
    const held = known ?? new Set<string>()
    this.#rooms.set(room, held)
    const mark = this.#nodes.mark(lease)
    if (mark === '') this.#isUnmarked = true
    else this.#leases.add(lease)
    for (const { connection } of entries) held.add(connection)
    const args = entries.flatMap((entry) => {
      const { connection, userId, data, fence = '', changed: n } = entry
      const stamp = isRenewal ? this.#stamps.renew(nameOf(room, entry)) : ''
      return [keyOf(connection), keyOf(userId), JSON.stringify({ userId, data, n }), stamp, fence]
    })
    // What is buried once in all rooms here left out this one.
    const burying = known === undefined ? this.#bury(room) : undefined
    const reply = await this.#link.script(
      PRESENCE_JOIN,
      this.#keys.presence(room),
      [this.#link.run, Math.ceil(lease), mark, ...args]
    ) as [string, string]
    await burying
    return reply
  }

  /** Removes what dead nodes held from one room. Never rejects. */
  async #bury (room: string): Promise<void> {
    const dead = this.#dead(this.#shortest)
    // Where that fails, the next sweep does it.
    if (dead !== '' && (await this.#sweep([room], dead)).size > 0) this.#unburied.add(room)
  }

  async leave (room: string, entry: PresenceEntry, grace: number): Promise<void> {
    const { connection, userId, fence } = entry
    const name = nameOf(room, entry)
    if (this.#stamps.isPast(name, fence)) return
    const joining = this.#joining.get(name)
    if (joining !== undefined) {
      // A script that the server does not know yet is sent again, and would come behind this one.
      await joining.catch(() => {})
      if (this.#stamps.isPast(name, fence)) return
    }
    const stamp = this.#stamps.get(name)
    const held = this.#rooms.get(room)
    if (held?.delete(connection) === true && held.size === 0) this.#rooms.delete(room)
    try {
      await this.#link.script(
        PRESENCE_LEAVE,
        this.#keys.presence(room),
        [this.#link.run, Math.ceil(grace), this.#nodes.id, keyOf(connection), keyOf(userId), stamp, fence ?? '']
      )
    } finally {
      // From the answer on, since a sweep before the entry has ended would be the last that looks for it.
      if (grace > 0) this.look(room, grace)
    }
    this.#stamps.forget(name, stamp, fence)
  }

  async succeed (room: string, userId: string, former: readonly string[]): Promise<boolean> {
    const held = this.#rooms.get(room)
    for (const connection of former) held?.delete(connection)
    const args = [
      this.#link.run,
      this.#nodes.id,
      this.#isUnmarked ? '1' : '',
      keyOf(userId),
      ...former.map((connection) => keyOf(connection))
    ]
    const isElsewhere = Number(await this.#link.script(PRESENCE_SUCCEED, this.#keys.presence(room), args)) === 1
    for (const connection of former) {
      const name = nameOf(room, { userId, connection })
      this.#stamps.forget(name, this.#stamps.get(name))
    }
    return isElsewhere
  }

  async update (room: string, { userId, data }: PresentUser): Promise<boolean> {
    const args = [this.#link.run, keyOf(userId), JSON.stringify({ userId, data })]
    return Number(await this.#link.script(PRESENCE_UPDATE, this.#keys.presence(room), args)) === 1
  }

  async isPresent (room: string, userId: string): Promise<boolean> {
    const [, , , users = ''] = this.#keys.presence(room)
    return await this.#link.call('HEXISTS', users, keyOf(userId)) === 1
  }

  async snapshot (room: string, limit: number): Promise<PresenceSnapshot> {
    const [sequence, total, ...list] = await this.#look(room, limit) as [string, number, ...string[]]
    if (this.#rooms.has(room)) this.#seen(room, Number(sequence))
    return {
      sequence: Number(sequence),
      total,
      ...(total > limit ? {} : { list: list.flatMap((json) => this.#named(json)) })
    }
  }

  #change (json: string): PresenceChange[] {
    try {
      return [decodePresenceChange(json)]
    } catch (error) {
      this.#unread.failed(error, 'presence', json.length)
      return []
    }
  }

  #shown (json: string): ShownUser | undefined {
    const changed = Number(CHANGED.exec(json)?.[1])
    const [user] = this.#named(json)
    return user === undefined || !isOffset(changed) ? undefined : { ...user, changed }
  }

  #named (json: string): Named[] {
    try {
      return [decodeNamed(json)]
    } catch (error) {
      this.#unread.failed(error, 'presence', json.length)
      return []
    }
  }

  /**
   * Sweeps the rooms in which something has expired, and some of the others; after a node has died it sweeps all rooms
   * here once, a few at a time. A room of which that fails is swept again soon, and keeps none of the others from it.
   *
   * @throws what came of one of them, when all others have been swept
   */
  async sweep (): Promise<void> {
    const now = performance.now()
    if (!this.#link.isUp || now < this.#heldUntil) return
    const due = this.#round.next(MAX_LOOKED)
    for (const [room, { next }] of this.#due) {
      if (next > now) continue
      due.push(room)
      if (due.length >= MAX_SWEPT) break
    }
    for (const room of due) this.#swept(room, now)
    const failed = await this.#sweepAll(due, '')
    for (const room of failed.keys()) this.look(room, 0)
    await this.#buryLeft()
    await this.#burial.run(this.#leases)
    const [error] = failed.values()
    if (error !== undefined) throw error
  }

  /** Notes that a room is swept: what expires there later still has to be. */
  #swept (room: string, now: number): void {
    const known = this.#due.get(room)
    if (known === undefined) return
    const { last } = known
    if (last > now) this.#due.set(room, { next: Math.min(last, now + BETWEEN), last })
    else this.#due.delete(room)
  }

  /** Never rejects. */
  async #buryAll (dead: string): Promise<void> {
    for (const room of (await this.#sweepAll(this.rooms, dead)).keys()) this.#unburied.add(room)
  }

  /** Removes what dead nodes held from rooms of which that failed. Never rejects. */
  async #buryLeft (): Promise<void> {
    if (this.#unburied.size === 0) return
    const dead = this.#dead(this.#shortest)
    const left = [...this.#unburied].filter((room) => this.#rooms.has(room) && dead !== '')
    this.#unburied.clear()
    for (const room of (await this.#sweepAll(left, dead)).keys()) this.#unburied.add(room)
  }

  /**
   * Sweeps very many rooms, those of each shard by themselves; never rejects.
   *
   * @returns the rooms of which that failed, and why
   */
  async #sweepAll (rooms: Iterable<string>, dead: string): Promise<Map<string, unknown>> {
    const shardOf = (room: string): string => this.#link.shardOf(this.#keys.presence(room)[0]!)
    return await stepByShard(new Set(rooms), BATCH, shardOf, (some) => this.#sweep(some, dead))
  }

  /** @returns the rooms of which that failed, and why */
  async #sweep (rooms: readonly string[], dead: string): Promise<Map<string, unknown>> {
    const failed = new Map<string, unknown>()
    const isHeld = performance.now() < this.#heldUntil
    const args = [this.#link.run, dead, this.#nodes.asOf, isHeld ? '1' : '']
    let items = rooms.map((room) => ({ room, keys: this.#keys.presence(room), args: ['0'] }))
    while (items.length > 0) {
      const next: typeof items = []
      for (const [{ room, keys }, result] of await manySettled(this.#link, PRESENCE_SWEEP, args, items, 1)) {
        if (result.status === 'rejected') {
          failed.set(room, result.reason)
          continue
        }
        const [cursor = '0'] = result.value
        if (cursor !== '0') next.push({ room, keys, args: [cursor] })
      }
      items = next
    }
    return failed
  }

  get #shortest (): number { return Math.min(...this.#leases) }

  #dead (lease: number): string { return namesOf(this.#nodes.dead(lease)) }

  async #look (room: string, limit: number): Promise<unknown> {
    const lease = this.#shortest
    const dead = this.#dead(lease)
    // In rooms without members here no other node may have seen that the entries are dead.
    const isBuried = this.#rooms.has(room) && this.#burial.isDone(lease, dead) && !this.#unburied.has(room)
    if (dead !== '' && !isBuried) {
      const error = (await this.#sweep([room], dead)).get(room)
      // Those are listed that are shown, by a server that refuses to write.
      if (error !== undefined && !(error instanceof Unreachable && error.isDeclined)) throw error
    }
    const isHeld = performance.now() < this.#heldUntil
    return await this.#link.script(PRESENCE_LOOK, this.#keys.presence(room), [this.#link.run, limit, isHeld ? '1' : ''])
  }
}

/** Writes a number as scripts do, because the two are compared as texts. */
function text (sequence: number): string { return sequence.toFixed(0) }

function nameOf (room: string, { connection }: PresenceEntry): string { return keyOf(room, connection) }
