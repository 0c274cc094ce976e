import { keyOf } from '../protocol/key.js'
import type { PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore } from './adapter.js'
import { decodeNamed, decodePresenceChange } from './decode.js'
import type { Unread } from './unread.js'
import type { Keys } from './redis-keys.js'
import type { RedisLink } from './redis-link.js'
import { PRESENCE_JOIN, PRESENCE_LEAVE, PRESENCE_LOOK, PRESENCE_MISSED } from './redis-scripts.js'

type Named = PresenceChange['joined'][number]

/** Entries in one renewal, and rooms that are swept at a time. */
const BATCH = 200

/** Presence across nodes: a lease set per room, changed and announced by one script each. */
export class RedisPresence implements PresenceStore {
  readonly #link: RedisLink
  readonly #keys: Keys
  readonly #unread: Unread
  /** rooms that had a join here: the only ones that this node sweeps */
  readonly #rooms = new Set<string>()
  /** the longest lease asked for */
  #lease = 0
  /** until then entries may have run out only because nobody could renew them, by `performance.now()` */
  #heldUntil = 0
  #downAt: number | undefined
  /** the newest change of each room that this node has heard or read of */
  readonly #sequences = new Map<string, number>()

  constructor (link: RedisLink, keys: Keys, unread: Unread) {
    this.#link = link
    this.#unread = unread
    this.#keys = keys
  }

  down (): void { this.#downAt ??= performance.now() }

  /** Entries are renewed every third of their lease: after a longer absence each node gets that long to renew before anybody sweeps. */
  up (): void {
    const now = performance.now()
    if (this.#downAt !== undefined && now - this.#downAt > this.#lease / 3) this.#heldUntil = now + this.#lease / 2
    this.#downAt = undefined
  }

  forget (room: string): void {
    this.#rooms.delete(room)
    this.#sequences.delete(room)
  }

  /** rooms that had a join here */
  get rooms (): readonly string[] { return [...this.#rooms] }

  heard (room: string, sequence: number): void {
    if (sequence > (this.#sequences.get(room) ?? 0)) this.#sequences.set(room, sequence)
  }

  /** Changes that this node has not heard, oldest first; where not all of them are kept, the last leaves a hole behind which members ask. */
  async missed (room: string): Promise<readonly PresenceChange[]> {
    const known = this.#sequences.get(room)
    if (known === undefined) return []
    const [top = '', ...texts] = await this.#link.script(PRESENCE_MISSED, this.#keys.presence(room), [known]) as string[]
    // Left meanwhile: what is heard of it now would be kept for ever.
    if (!this.#sequences.has(room)) return []
    const changes = texts.flatMap((text) => this.#change(text)).filter(({ sequence }) => sequence > known).reverse()
    const sequence = Number(top)
    if (top !== '' && sequence > known && changes.at(-1)?.sequence !== sequence) changes.push({ sequence, joined: [], left: [] })
    for (const change of changes) this.heard(room, change.sequence)
    return changes
  }

  async join (room: string, entry: PresenceEntry, lease: number): Promise<void> {
    this.#rooms.add(room)
    this.#lease = Math.max(this.#lease, lease)
    await this.#join(room, [entry], lease)
  }

  async renew (entries: ReadonlyArray<{ readonly room: string, readonly entry: PresenceEntry }>, lease: number): Promise<void> {
    const byRoom = new Map<string, PresenceEntry[]>()
    for (const { room, entry } of entries) {
      const known = byRoom.get(room)
      if (known === undefined) byRoom.set(room, [entry])
      else known.push(entry)
    }
    const steps: Array<Promise<void>> = []
    for (const [room, list] of byRoom) {
      for (let index = 0; index < list.length; index += BATCH) steps.push(this.#join(room, list.slice(index, index + BATCH), lease))
    }
    await Promise.all(steps)
  }

  async #join (room: string, entries: readonly PresenceEntry[], lease: number): Promise<void> {
    const args = entries.flatMap(({ connection, userId, data }) => [keyOf(connection), keyOf(userId), JSON.stringify({ userId, data })])
    await this.#link.script(PRESENCE_JOIN, this.#keys.presence(room), [this.#link.run, Math.ceil(lease), ...args])
  }

  async leave (room: string, { connection, userId }: PresenceEntry, grace: number): Promise<void> {
    await this.#link.script(PRESENCE_LEAVE, this.#keys.presence(room), [this.#link.run, Math.ceil(grace), keyOf(connection), keyOf(userId)])
  }

  async snapshot (room: string, limit: number): Promise<PresenceSnapshot> {
    const [sequence, total, ...list] = await this.#look(room, limit) as [string, number, ...string[]]
    if (this.#rooms.has(room)) this.heard(room, Number(sequence))
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

  #named (json: string): Named[] {
    try {
      return [decodeNamed(json)]
    } catch (error) {
      this.#unread.failed(error, 'presence', json.length)
      return []
    }
  }

  async sweep (rooms: Iterable<string>): Promise<void> {
    if (!this.#link.isUp || performance.now() < this.#heldUntil) return
    let steps: Array<Promise<unknown>> = []
    for (const room of rooms) {
      if (!this.#rooms.has(room)) continue
      steps.push(this.#look(room, -1))
      if (steps.length < BATCH) continue
      await Promise.all(steps)
      steps = []
    }
    await Promise.all(steps)
  }

  async #look (room: string, limit: number): Promise<unknown> {
    const isHeld = performance.now() < this.#heldUntil
    return await this.#link.script(PRESENCE_LOOK, this.#keys.presence(room), [this.#link.run, limit, isHeld ? '1' : ''])
  }
}
