const SHARDS = 32
/** Number of characters at the end of a key that choose its shard: names of one family differ there. */
const TAIL = 6

/**
 * A map of very many strings, without an order. A `Map` that grows moves all of its entries in one turn of the event
 * loop, which takes some milliseconds at 100 000 entries; here each shard grows on its own. Keys that are chosen to
 * fall into one shard only make this map as slow as one `Map`.
 */
export class ShardedMap<V> {
  readonly #shards: Array<Map<string, V>> = Array.from({ length: SHARDS }, () => new Map<string, V>())
  #size = 0

  get size (): number { return this.#size }

  #shard (key: string): Map<string, V> {
    let hash = key.length
    for (let index = Math.max(0, key.length - TAIL); index < key.length; index++) {
      hash = Math.imul(hash, 31) + key.charCodeAt(index)
    }
    return this.#shards[(hash ^ (hash >>> 5)) & (SHARDS - 1)]!
  }

  get (key: string): V | undefined { return this.#shard(key).get(key) }

  has (key: string): boolean { return this.#shard(key).has(key) }

  set (key: string, value: V): void {
    const shard = this.#shard(key)
    const before = shard.size
    shard.set(key, value)
    this.#size += shard.size - before
  }

  delete (key: string): boolean {
    const isGone = this.#shard(key).delete(key)
    if (isGone) this.#size--
    return isGone
  }

  clear (): void {
    for (const shard of this.#shards) shard.clear()
    this.#size = 0
  }

  /** @param skipped number of entries to pass over; a shard that lies wholly among them is skipped without a walk */
  * values (skipped = 0): Generator<V> {
    let left = skipped
    for (const shard of this.#shards) {
      if (left >= shard.size) {
        left -= shard.size
        continue
      }
      for (const value of shard.values()) if (left-- <= 0) yield value
      left = 0
    }
  }

  * keys (): Generator<string, undefined> {
    for (const shard of this.#shards) yield * shard.keys()
    return undefined
  }

  * [Symbol.iterator] (): Generator<[string, V]> {
    for (const shard of this.#shards) yield * shard
  }
}
