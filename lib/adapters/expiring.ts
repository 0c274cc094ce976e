/** A map whose entries run out and whose size is bounded: at the bound the entry nearest its end goes first, in order of insertion. */
export class Expiring<V> {
  readonly #entries = new Map<string, { value: V, until: number }>()
  readonly #capacity: number

  constructor (capacity: number) {
    this.#capacity = capacity
  }

  get size (): number { return this.#entries.size }

  get (key: string, now: number): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.until > now) return entry.value
    this.#entries.delete(key)
    return undefined
  }

  set (key: string, value: V, until: number, now: number): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, until })
    if (this.#entries.size > this.#capacity) this.sweep(now)
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#capacity) return
      this.#entries.delete(oldest)
    }
  }

  delete (key: string): V | undefined {
    const entry = this.#entries.get(key)
    this.#entries.delete(key)
    return entry?.value
  }

  /** Drops what has run out. Entries of one map mostly share one life, so the first that lives ends the walk. */
  sweep (now: number): void {
    for (const [key, { until }] of this.#entries) {
      if (until > now) return
      this.#entries.delete(key)
    }
  }

  /** Entries that have not run out, in order of insertion. */
  * values (now: number): Generator<V> {
    for (const { value, until } of this.#entries.values()) if (until > now) yield value
  }
}
