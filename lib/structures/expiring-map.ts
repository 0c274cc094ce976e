import { ShardedMap } from './sharded-map.js'

/** `value` is released as soon as the entry is dropped; the entry itself may stay in the order for a while. */
interface Entry<V> { readonly key: string, value: V | undefined, until: number, isGone: boolean }

/** How many dropped entries the order may hold beyond the number of live ones before it is rewritten. */
const SLACK = 8

/**
 * A map whose entries expire and whose size is bounded: at the bound it first evicts the expired entries, then the
 * oldest. Setting a key again makes a new entry at the end of the order.
 *
 * The order is a separate array, because a `Map` that loses its first keys keeps their places for a while and each new
 * walk over it passes all of them.
 */
export class ExpiringMap<V> {
  readonly #entries = new ShardedMap<Entry<V>>()
  readonly #capacity: number
  #order: Array<Entry<V>> = []
  #head = 0

  constructor (capacity: number) {
    this.#capacity = capacity
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
    if (this.#entries.size > this.#capacity) {
      this.sweep(now)
      while (this.#entries.size > this.#capacity) this.#drop(this.#oldest()!)
    }
    this.#tidy()
  }

  /**
   * Gives an entry another value and another end, and keeps its place in the order.
   *
   * @returns whether the key has an entry
   */
  replace (key: string, value: V, until: number): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined) return false
    entry.value = value
    entry.until = until
    return true
  }

  delete (key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    const { value } = entry
    this.#drop(entry)
    return value
  }

  /**
   * Drops the expired entries. It stops at the first that is still alive, because the entries of one map mostly have
   * the same time to live.
   */
  sweep (now: number): void {
    for (let entry = this.#oldest(); entry !== undefined && entry.until <= now; entry = this.#oldest()) {
      this.#drop(entry)
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
  }

  #tidy (): void {
    if (this.#order.length <= 2 * this.#entries.size + SLACK) return
    this.#order = this.#order.filter(({ isGone }) => !isGone)
    this.#head = 0
  }
}
