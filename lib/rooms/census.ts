import type { ClaimStore, PresenceChange, PresenceStore, RoomSettings } from '../adapters/adapter.js'
import { keyOf, keyOfKind } from '../protocol/key.js'
import type { Awaitable } from '../structures/awaitable.js'
import { OrderedMap } from '../structures/ordered-map.js'
import { after } from '../structures/timers.js'
import { within } from '../structures/within.js'
import type { PresenceKeeper } from './presence.js'

export interface CensusOptions {
  /** What is counted: first segment of the names under which it is kept, which no application can declare. */
  readonly kind: '@online' | '@occupied'
  readonly nodeId: string
  readonly keeper: PresenceKeeper
  /** Where the keeper keeps the subjects. */
  readonly store: PresenceStore
  readonly claims: ClaimStore
  readonly subscribe: (room: string, settings: RoomSettings) => Awaitable<unknown>
  /** Whether other nodes hear the same: then who holds the subject goes first. */
  readonly isShared: boolean
  /** Milliseconds between the end of a subject on this node and its leave. */
  readonly grace: number
  /** Milliseconds that a hook may take. */
  readonly timeout: number
  /** Runs the application's hook. */
  readonly run: (subject: string, isThere: boolean) => Awaitable<void>
  /** Called when a hook has failed or takes too long, and when nobody could be asked who runs it. */
  readonly onError: (error: unknown, subject: string, isThere: boolean) => void
}

/**
 * Subjects are spread over so many rooms, because a broker may keep each in one value, which every change writes anew:
 * of 100 000 subjects each room has some 800. More rooms would make the start longer, at which a node enters all of
 * them.
 */
const SHARDS = 128
/** Milliseconds that the node that holds a subject is ahead of the others, and within which the others follow. */
const AHEAD = 500
const SPREAD = 1_000
/** Milliseconds after which the broker is asked again that did not answer, and how often. */
const AGAIN = 1_000
const TRIES = 120
/** Entries that are asked for again at a time. */
const AT_ONCE = 500
/** Milliseconds for which it is remembered that a hook has run: longer than a change is kept for who has missed it. */
const REMEMBERED = 900_000
/** Milliseconds that a hook may need beyond its time to say that it is done. */
const SETTLE = 5_000
/**
 * Hooks that wait on this node; beyond them the oldest is given up, which is told. Those of a node that dies come at
 * the same time and in the same order to all other nodes, so that none may count on the others.
 */
const MAX_WAITING = 100_000

interface Held { count: number, graceUntil: number }

/** A change whose hook has to run, on some node. */
interface Change {
  /** Names it on all nodes. */
  readonly id: string
  readonly subject: string
  readonly isThere: boolean
  /** How often the broker may still be asked. */
  tries: number
  /** Whether the hook has run here, and the broker could not be told: it is told that alone. */
  hasRun: boolean
  /** Until it is claimed; absent where it waits behind another one of its subject. */
  timer: NodeJS.Timeout | undefined
}

/**
 * Tells once in all nodes when the first of something comes and when the last has gone: the connections of a user, the
 * members of a room. Each node enters its subjects into a presence that is kept for that, one entry for each, and hears
 * of all changes. Whoever claims a change runs its hook; the others look again when the claim has run out, in case the
 * node has died meanwhile. Each node looks at the changes of a subject one after another: it comes to the next one when
 * the hook of the one before has run, wherever that was, so that no end overtakes a beginning. Each node has an entry
 * of its own in all of these rooms, so that it sees to what a dead node has held there.
 */
export class Census {
  readonly #options: CensusOptions
  readonly #held = new Map<string, Held>()
  /** Of those, subjects whose entry was refused: it is asked for again. */
  readonly #refused = new Set<string>()
  #again: NodeJS.Timeout | undefined
  /** Changes by subject, in their order; the first one of each is waited for, claimed or run. */
  readonly #lines = new Map<string, Change[]>()
  /** Those that wait, by id. */
  readonly #waiting = new OrderedMap<Change>()
  /** Ids of those that are being claimed, or whose hook runs. */
  readonly #underWay = new Set<string>()
  #isStopped = false

  constructor (options: CensusOptions) {
    this.#options = options
  }

  /** Names of the rooms in which the subjects are kept. */
  get rooms (): readonly string[] {
    return Array.from({ length: SHARDS }, (_, shard) => `${this.#options.kind}/${shard}`)
  }

  async start (): Promise<void> {
    const { subscribe, kind, keeper, nodeId } = this.#options
    const settings: RoomSettings = { history: false, latest: false, definition: `${kind}/:shard` }
    await Promise.all(this.rooms.map(async (room) => {
      await subscribe(room, settings)
      await keeper.join(room, { userId: '', connection: nodeId })
    }))
  }

  stop (): void {
    this.#isStopped = true
    clearTimeout(this.#again)
    this.#refused.clear()
    for (const [, { timer }] of this.#waiting) clearTimeout(timer)
    this.#waiting.clear()
    this.#lines.clear()
  }

  /** Tells that one more of a subject is on this node. */
  enter (subject: string): void {
    const held = this.#held.get(subject)
    if (held !== undefined) {
      held.count++
      return
    }
    this.#held.set(subject, { count: 1, graceUntil: 0 })
    this.#join(subject, (error) => { this.#options.onError(error, subject, true) })
  }

  /** Without its entry nobody is told of a subject before the entries are renewed, which may be minutes later. */
  #join (subject: string, onRefused: (error: unknown) => void = () => {}): void {
    this.#options.keeper.join(...this.#placeOf(subject)).catch((error: unknown) => {
      if (this.#isStopped || !this.#held.has(subject)) return
      onRefused(error)
      this.#refused.add(subject)
      this.#joinLater()
    })
  }

  #joinLater (): void {
    this.#again ??= after(() => {
      this.#again = undefined
      let left = AT_ONCE
      for (const subject of this.#refused) {
        if (left-- === 0) break
        this.#refused.delete(subject)
        this.#join(subject)
      }
      if (this.#refused.size > 0) this.#joinLater()
    }, AGAIN).unref()
  }

  /**
   * Tells that one of a subject has gone from this node.
   *
   * @param isMeant whether it said so: it does not come back within the grace
   */
  leave (subject: string, isMeant: boolean): void {
    const held = this.#held.get(subject)
    if (held === undefined) return
    const now = performance.now()
    if (!isMeant) held.graceUntil = now + this.#options.grace
    if (--held.count > 0) return
    this.#held.delete(subject)
    this.#refused.delete(subject)
    this.#options.keeper.leave(...this.#placeOf(subject), held.graceUntil <= now)
  }

  /** @returns whether the change is of one of these rooms */
  heard (room: string, { sequence, joined, left }: PresenceChange): boolean {
    if (!room.startsWith(`${this.#options.kind}/`)) return false
    const tell = (isThere: boolean) => ({ userId: subject }: { readonly userId: string }): void => {
      if (subject !== '') this.#soon(subject, isThere, keyOf(room, subject, String(sequence)))
    }
    joined.forEach(tell(true))
    left.forEach(tell(false))
    return true
  }

  /**
   * Whether a subject is there as the hooks tell it, or are about to: who has come is, at once, and who has gone until
   * the grace is over and its leave is announced.
   */
  async isThere (subject: string): Promise<boolean> {
    if (this.#held.has(subject)) return true
    const { store } = this.#options
    const [room] = this.#placeOf(subject)
    if (store.isPresent !== undefined) return await store.isPresent(room, subject)
    const { list = [] } = await store.snapshot(room, Number.POSITIVE_INFINITY)
    return list.some(({ userId }) => userId === subject)
  }

  #placeOf (subject: string): [room: string, entry: { readonly userId: string, readonly connection: string }] {
    const { kind, nodeId } = this.#options
    return [`${kind}/${shardOf(subject)}`, { userId: subject, connection: keyOf(nodeId, subject) }]
  }

  #soon (subject: string, isThere: boolean, id: string): void {
    // What is read again because it may have been missed may also have arrived, and whoever asks again for what it has
    // claimed is given it again.
    if (this.#isStopped || this.#waiting.has(id) || this.#underWay.has(id)) return
    const change: Change = { id, subject, isThere, tries: TRIES, hasRun: false, timer: undefined }
    const line = this.#lines.get(subject)
    if (line === undefined) {
      this.#lines.set(subject, [change])
      this.#begin(change)
    } else {
      line.push(change)
      this.#wait(change)
    }
  }

  #begin (change: Change): void {
    const { subject, isThere } = change
    const isFirst = !this.#options.isShared || this.#held.has(subject)
    if (isFirst) void this.#claim(change)
    else this.#later(change, (isThere ? AHEAD : 0) + Math.random() * SPREAD)
  }

  #later (change: Change, wait: number): void {
    if (this.#isStopped) return
    change.timer = after(() => { void this.#claim(change) }, wait).unref()
    this.#wait(change)
  }

  #wait (change: Change): void {
    this.#waiting.set(change.id, change)
    if (this.#waiting.size <= MAX_WAITING) return
    const oldest = this.#waiting.shift()!
    clearTimeout(oldest.timer)
    this.#options.onError(
      new Error(`more than ${MAX_WAITING} hooks wait: this one is left to other nodes`),
      oldest.subject,
      oldest.isThere
    )
    this.#over(oldest)
  }

  /** Comes to the next change of the subject, where this was the first one. */
  #over (change: Change): void {
    const line = this.#lines.get(change.subject)
    const at = line?.indexOf(change) ?? -1
    if (line === undefined || at === -1) return
    line.splice(at, 1)
    const [next] = line
    if (next === undefined) this.#lines.delete(change.subject)
    else if (at === 0) {
      this.#waiting.delete(next.id)
      this.#begin(next)
    }
  }

  /** Never rejects. */
  async #claim (change: Change): Promise<void> {
    const { claims, timeout, nodeId, onError } = this.#options
    const { id, subject, isThere } = change
    const key = keyOfKind('hook', id)
    const hash = isThere ? 'there' : 'gone'
    this.#waiting.delete(id)
    this.#underWay.add(id)
    let again: number | undefined
    try {
      const claim = await claims.claim(key, hash, timeout + SETTLE, subject, nodeId)
      if (claim.state === 'running' && !change.hasRun) again = claim.retryAfter + Math.random() * SPREAD
      else if (claim.state === 'claimed') {
        if (!change.hasRun) await this.#run(subject, isThere)
        change.hasRun = true
        await claims.settle(key, hash, 'done', REMEMBERED, subject, nodeId)
      }
    } catch (error) {
      if (--change.tries > 0) again = AGAIN * (0.5 + Math.random())
      else if (!change.hasRun) onError(error, subject, isThere)
    }
    this.#underWay.delete(id)
    if (again === undefined) this.#over(change)
    else this.#later(change, again)
  }

  /** Never rejects. */
  async #run (subject: string, isThere: boolean): Promise<void> {
    const { run, timeout, onError } = this.#options
    try {
      const hook = Promise.resolve(run(subject, isThere))
      await within(timeout, hook, () => new Error(`the hook takes longer than ${timeout} ms`))
    } catch (error) {
      onError(error, subject, isThere)
    }
  }
}

/** The same on every node. */
function shardOf (subject: string): number {
  let hash = 0
  for (let i = 0; i < subject.length; i++) hash = Math.imul(hash ^ subject.charCodeAt(i), 0x01000193)
  // The lowest bits would only know those of the characters.
  return (hash ^ (hash >>> 15)) & (SHARDS - 1)
}
