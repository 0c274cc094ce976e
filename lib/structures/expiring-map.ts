import { ShardedMap } from './sharded-map.js'
import { after } from './timers.js'

/** `value` is released as soon as the entry is dropped; the entry itself may stay in the order for a while. */
interface Entry<V> { readonly key: string, value: V | undefined, until: number, isGone: boolean }

/** How many dropped entries the order may hold beyond the number of live ones before it is rewritten. */
const SLACK = 8
/** Expired entries that are dropped for each one that is set: with two, a steady stream of them never falls behind. */
const PER_SET = 2
/** Expired entries that are dropped in one turn of the event loop. */
const PER_TURN = 1_000
/** The shortest wait in milliseconds until it is looked for expired entries again, once none is left. */
const PERIOD = 1_000

/**
 * A map whose entries expire and whose size is bounded: at the bound it first evicts the expired entries, then the
 * oldest. Setting a key again makes a new entry at the end of the order.
 *
 * Expired entries are dropped without being asked for: as others are set, and by a timer, for after a burst there may
 * be no others. Only the oldest is looked at, so that one that lives longer keeps those behind it. As these were set
 * later, no entry is kept for longer than the longest time to live of the map, and some seconds.
 *
 * The order is a separate array, because a `Map` that loses its first keys keeps their places for a while and each new
 * walk over it passes all of them.
 */
export class ExpiringMap<V> {
  readonly #entries = new ShardedMap<Entry<V>>()
  readonly #capacity: number
  #order: Array<Entry<V>> = []
  #head = 0
  readonly #clock: () => number
  readonly #evicted: ((value: V) => void) | undefined
  #isTimed = false

  /**
   * @param clock the one of all times that are given to it, in milliseconds
   * @param evicted takes the value of an entry that goes before its time, because there are too many
   */
  constructor (capacity: number, clock = (): number => performance.now(), evicted?: (value: V) => void) {
    this.#capacity = capacity
    this.#clock = clock
    this.#evicted = evicted
  }

  get size (): number { return this.#entries.size }

  get (key: string, now: number): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.until > now) return entry.value as V
    this.#drop(entry)
    return undefined
  }

  set (key: string, value: V, until: number, now: number): void {
    const before = this.#entries.get(key)
    if (before !== undefined) this.#drop(before)
    const entry: Entry<V> = { key, value, until, isGone: false }
    this.#entries.set(key, entry)
    this.#order.push(entry)
    this.sweep(now, PER_SET)
    while (this.#entries.size > this.#capacity) {
      const oldest = this.#oldest()!
      if (oldest.until > now) this.#evicted?.(oldest.value as V)
      this.#drop(oldest)
    }
    this.#time(until - now)
  }

  delete (key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    const { value } = entry
    this.#drop(entry)
    return value
  }

  /** Drops the expired entries, `most` of them, up to the first that is still alive. */
  sweep (now: number, most = Number.POSITIVE_INFINITY): void {
    let left = most
    for (let entry = this.#oldest(); entry !== undefined && entry.until <= now && left > 0; entry = this.#oldest()) {
      this.#drop(entry)
      left--
    }
  }

  /** Values of the entries that have not expired, oldest first. */
  * values (now: number): Generator<V> {
    for (const { value, until, isGone } of this.#order.slice(this.#head)) if (!isGone && until > now) yield value as V
  }

  #oldest (): Entry<V> | undefined {
    while (this.#order[this.#head]?.isGone === true) this.#head++
    return this.#order[this.#head]
  }

  #drop (entry: Entry<V>): void {
    entry.isGone = true
    entry.value = undefined
    this.#entries.delete(entry.key)
    this.#tidy()
  }

  /** The timer runs on when the map is empty: most maps are soon set again, and one for each entry would cost more. */
  #time (wait: number): void {
    if (this.#isTimed) return
    this.#isTimed = true
    this.#later(Math.max(PERIOD, wait))
  }

  /** A timer may run for a day, and must not keep a map that nobody else has. */
  #later (wait: number): void {
    const map = new WeakRef(this)
    after(() => {
      const found = map.deref()
      if (found !== undefined) found.#look()
    }, wait).unref()
  }

  #look (): void {
    const now = this.#clock()
    this.sweep(now, PER_TURN)
    const oldest = this.#oldest()
    if (oldest === undefined) this.#isTimed = false
    else this.#later(oldest.until <= now ? 1 : Math.max(PERIOD, oldest.until - now))
  }

  #tidy (): void {
    if (this.#order.length <= 2 * this.#entries.size + SLACK) return
    this.#order = this.#order.filter(({ isGone }) => !isGone)
    this.#head = 0
  }
}
