import { ExpiringMap } from '../../structures/expiring-map.js'
import { HELD } from './nodes.js'

/** Entries of which one node remembers when it took them; beyond them, the oldest counts as taken before all others. */
const MAX_TAKEN = 100_000

/**
 * Remembers when this node took what it holds, in milliseconds by the broker's clock. A connection that polls moves
 * from node to node under one name, and its former node learns of that late or never: of two nodes that hold something
 * under one name, the one that took it last holds it, in whichever order they renew it.
 */
export class Stamps {
  readonly #taken = new ExpiringMap<number>(MAX_TAKEN)

  /** Returns the stamp of a name; 0 when it is unknown. */
  get (name: string): number { return this.#taken.get(name, performance.now()) ?? 0 }

  set (name: string, stamp: number): void {
    const now = performance.now()
    this.#taken.set(name, stamp, now + HELD, now)
  }

  /** Returns the stamp of a name, and remembers it for as long again. */
  renew (name: string): number {
    const stamp = this.get(name)
    if (stamp > 0) this.set(name, stamp)
    return stamp
  }

  /** Forgets an entry taken at `stamp` that was released; it may have been taken again meanwhile. */
  forget (name: string, stamp: number): void { if (this.get(name) === stamp) this.#taken.delete(name) }
}
