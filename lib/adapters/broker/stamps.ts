import { ExpiringMap } from '../../structures/expiring-map.js'
import { HELD } from './nodes.js'

/** Entries of which one node remembers when it took them; beyond them, the oldest counts as taken before all others. */
const MAX_TAKEN = 100_000

/** `stamp` is 0 while it is unknown; `fence` is that of the newest taking, 0 where it has none. */
interface Taken { readonly stamp: number, readonly fence: number }

const UNKNOWN: Taken = { stamp: 0, fence: 0 }

/**
 * Remembers when this node took what it holds, in milliseconds by the broker's clock. A connection that polls moves
 * from node to node under one name, and its former node learns of that late or never: of two nodes that hold something
 * under one name, the one that took it last holds it, in whichever order they renew it.
 *
 * A node that takes the same name again gives each taking a higher fence, so that a release that comes late, of an
 * earlier one, is told from one of the newest.
 */
export class Stamps {
  readonly #taken = new ExpiringMap<Taken>(MAX_TAKEN)
  #isInDoubt = false

  #of (name: string): Taken { return this.#taken.get(name, performance.now()) ?? UNKNOWN }

  /** Whether it is certain that this node holds nothing any more. */
  get isEmpty (): boolean { return this.#taken.size === 0 && !this.#isInDoubt }

  /** Notes that something may have been taken of which nothing is remembered. */
  doubt (): void { this.#isInDoubt = true }

  #keep (name: string, taken: Taken): void {
    const now = performance.now()
    if (this.#taken.size >= MAX_TAKEN) this.doubt()
    this.#taken.set(name, taken, now + HELD, now)
  }

  /** Returns the stamp of a name; 0 when it is unknown. */
  get (name: string): number { return this.#of(name).stamp }

  /** Notes that the broker is about to be asked for a name: nothing taken before under it is released from now on. */
  begin (name: string, fence = 0): void {
    const { stamp, fence: before } = this.#of(name)
    if (fence > before) this.#keep(name, { stamp, fence })
  }

  /** Whether this node has taken the name anew since it took what has this fence. */
  isPast (name: string, fence: number | undefined): boolean {
    return fence !== undefined && this.#of(name).fence > fence
  }

  set (name: string, stamp: number): void { this.#keep(name, { ...this.#of(name), stamp }) }

  /** Returns the stamp of a name, and remembers it for as long again. */
  renew (name: string): number {
    const taken = this.#of(name)
    if (taken !== UNKNOWN) this.#keep(name, taken)
    return taken.stamp
  }

  /** Forgets what was taken at `stamp` and was released; it may have been taken again meanwhile. */
  forget (name: string, stamp: number, fence?: number): void {
    if (this.get(name) === stamp && !this.isPast(name, fence)) this.#taken.delete(name)
  }
}
