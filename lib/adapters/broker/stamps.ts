import { ExpiringMap } from '../../structures/expiring-map.js'
import { HELD } from './nodes.js'

/** What one node remembers having taken; of more, the oldest counts as taken before anything else. */
const MAX_TAKEN = 100_000

/**
 * When this node took what it holds, in milliseconds by the broker's clock. A connection that polls moves from node to
 * node under one name, and its former node learns of that late or never: of two nodes that hold something under one
 * name it is that one's which took it last, whoever renews it in which order.
 */
export class Stamps {
  readonly #taken = new ExpiringMap<number>(MAX_TAKEN)

  /** 0: nothing is known of it. */
  get (name: string): number { return this.#taken.get(name, performance.now()) ?? 0 }

  set (name: string, stamp: number): void {
    const now = performance.now()
    this.#taken.set(name, stamp, now + HELD, now)
  }

  /** The same, which is remembered for as long again. */
  renew (name: string): number {
    const stamp = this.get(name)
    if (stamp > 0) this.set(name, stamp)
    return stamp
  }

  /** What was taken at `stamp` was given back; it may have been taken again meanwhile. */
  forget (name: string, stamp: number): void { if (this.get(name) === stamp) this.#taken.delete(name) }
}
