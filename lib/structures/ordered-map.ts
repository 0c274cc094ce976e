import { Link, LinkedList } from './linked-list.js'
import { ShardedMap } from './sharded-map.js'

/**
 * A map in the order in which its keys came, whose oldest entry can be dropped at a cost that does not depend on how
 * many there are. A `Map` that loses its first keys keeps their places for a while, and each search for the first one
 * passes all of them: at 100 000 entries that takes a tenth of a millisecond.
 */
export class OrderedMap<V> {
  readonly #links = new ShardedMap<Link<{ readonly key: string, value: V }>>()
  readonly #order = new LinkedList<{ readonly key: string, value: V }>()

  get size (): number { return this.#order.size }

  has (key: string): boolean { return this.#links.has(key) }

  get (key: string): V | undefined { return this.#links.get(key)?.item.value }

  /** Adds an entry at the end; one that is known keeps its place. */
  set (key: string, value: V): void {
    const known = this.#links.get(key)
    if (known !== undefined) {
      known.item.value = value
      return
    }
    const link = new Link({ key, value })
    this.#links.set(key, link)
    this.#order.push(link)
  }

  delete (key: string): void {
    const link = this.#links.get(key)
    if (link === undefined) return
    link.remove()
    this.#links.delete(key)
  }

  /** Drops the oldest entry, and returns its value. */
  shift (): V | undefined {
    const oldest = this.#order.first?.item
    if (oldest === undefined) return undefined
    this.delete(oldest.key)
    return oldest.value
  }

  clear (): void {
    this.#links.clear()
    for (let link = this.#order.first; link !== undefined; link = this.#order.first) link.remove()
  }

  /** Entries, the oldest first. The one that was given last may be deleted meanwhile. */
  * [Symbol.iterator] (): Generator<readonly [key: string, value: V]> {
    for (let link = this.#order.first; link !== undefined;) {
      const { after, item: { key, value } } = link
      yield [key, value]
      link = after
    }
  }
}
