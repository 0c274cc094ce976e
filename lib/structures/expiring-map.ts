import { ShardedMap } from './sharded-map.js'

/** `value` is let go with the entry, which may stay in the order for a while. */
interface Entry<V> { readonly key: string, value: V | undefined, until: number, isGone: boolean }

/** Entries beyond half of the order that may have gone before it is written anew. */
const SLACK = 8

/**
 * A map whose entries run out and whose size is bounded: at the bound those that have run out go, then the oldest. An
 * entry that is set again is a new one.
 *
 * The order is an array of its own: a `Map` that loses its first keys keeps their places for a while, and each new walk
 * over it passes all of them.
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

  /** The same entry with another value and end, in its place. @returns whether there is one */
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

  /** Drops what has run out. Entries of one map mostly share one life, so the first that lives ends the walk. */
  sweep (now: number): void {
    for (let entry = this.#oldest(); entry !== undefined && entry.until <= now; entry = this.#oldest()) {
      this.#drop(entry)
    }
  }

  /** Entries that have not run out, oldest first. */
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
