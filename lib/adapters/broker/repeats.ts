import { keyOf } from '../../protocol/key.js'
import type { Published } from '../adapter.js'
import { ExpiringMap } from '../../structures/expiring-map.js'
import { OrderedMap } from '../../structures/ordered-map.js'

/** Keys and events that one node remembers. */
const MAX_KEYS = 10_000
const MAX_EVENTS = 8_192

/**
 * Deduplicates events by what this node itself knows, whatever its broker has forgotten: the idempotency keys that it
 * has used with their results, and the events that it has delivered. A broker that lost its data accepts an event again
 * that was sent again, although members of this node have received it.
 */
export class Repeats {
  readonly #window: number
  readonly #keys = new ExpiringMap<Published>(MAX_KEYS)
  /** Time at which each event was delivered, the oldest first. */
  readonly #events = new OrderedMap<number>()

  /** @param window milliseconds for which an idempotency key is remembered */
  constructor (window: number) {
    this.#window = window
  }

  first (
    room: string,
    key: string
  ): Published | undefined { return this.#keys.get(keyOf(room, key), performance.now()) }

  remember (room: string, key: string, published: Published): void {
    const now = performance.now()
    this.#keys.set(keyOf(room, key), published, now + this.#window, now)
  }

  /**
   * Notes an event that is about to be delivered.
   *
   * @returns false when it has been delivered before and its key is still remembered; after that it is another event
   */
  isNew (room: string, identity: string): boolean {
    const name = keyOf(room, identity)
    const now = performance.now()
    const at = this.#events.get(name)
    if (at !== undefined && now - at < this.#window) return false
    if (at !== undefined) this.#events.delete(name)
    this.#events.set(name, now)
    if (this.#events.size > MAX_EVENTS) this.#events.shift()
    return true
  }
}
