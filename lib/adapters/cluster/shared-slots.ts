import { ShardedMap } from '../../structures/sharded-map.js'
import { Slices } from '../../structures/slices.js'
import type { End } from '../memory/presence.js'

/** Keys that one turn of the event loop looks at. */
const LOOKED = 500

interface Limit {
  readonly holders: Map<string, End>
  /** When one of them may end that has an end of its own. */
  due: number
  /** When it was last cleared of those that had ended. */
  cleared: number
}

/**
 * Slots that all workers share: each is held until its node gives it back, or until the end that all slots of its node
 * have. Who finds one does not look through the others, unless one of them may have ended.
 */
export class SharedSlots {
  readonly #limits = new ShardedMap<Limit>()
  readonly #now: () => number
  /** Ends of nodes that have gone and whose slots are still held. */
  #ends: number[] = []
  /** When the slots of a node ended last. */
  #ended = 0
  readonly #clearing = new Slices(() => this.#clearSome())
  #left: Iterator<string, undefined> | undefined

  constructor (now: () => number) {
    this.#now = now
  }

  get size (): number { return this.#limits.size }

  stop (): void { this.#clearing.stop() }

  acquire (key: string, holder: string, limit: number, end: End): boolean {
    const known = this.#of(key)
    const held = known.holders.get(holder)
    if (held === undefined || held.until <= this.#now()) {
      if (known.holders.size >= limit) this.#clear(known)
      if (known.holders.size >= limit) {
        this.#forget(key, known)
        return false
      }
    }
    this.#set(known, holder, end)
    return true
  }

  /** Takes it again where it is missing; one that another node has acquired since is its. */
  renew (key: string, holder: string, end: End): void {
    const known = this.#of(key)
    const held = known.holders.get(holder)
    if (held === undefined || held.by === end.by || held.until <= this.#now()) this.#set(known, holder, end)
  }

  release (key: string, holder: string, by: unknown): void {
    const known = this.#limits.get(key)
    if (known?.holders.get(holder)?.by !== by) return
    known!.holders.delete(holder)
    this.#forget(key, known!)
  }

  count (key: string): number {
    const known = this.#limits.get(key)
    if (known === undefined) return 0
    this.#clear(known)
    return known.holders.size
  }

  /** Tells that a node has gone, whose slots end then. */
  gone (until: number): void { this.#ends.push(until) }

  /** Forgets what has ended, in parts; called now and then. */
  sweep (): void { this.#clearing.run() }

  #of (key: string): Limit {
    let known = this.#limits.get(key)
    if (known === undefined) {
      known = { holders: new Map(), due: Number.POSITIVE_INFINITY, cleared: 0 }
      this.#limits.set(key, known)
    }
    return known
  }

  #set (known: Limit, holder: string, end: End): void {
    known.holders.set(holder, end)
    known.due = Math.min(known.due, end.until)
  }

  #clear (known: Limit): void {
    const now = this.#now()
    this.#ends = this.#ends.filter((until) => {
      if (until <= now) this.#ended = Math.max(this.#ended, until)
      return until > now
    })
    if (known.due > now && known.cleared >= this.#ended) return
    known.cleared = now
    known.due = Number.POSITIVE_INFINITY
    for (const [holder, { until }] of known.holders) {
      if (until <= now) known.holders.delete(holder)
      else known.due = Math.min(known.due, until)
    }
  }

  #forget (key: string, known: Limit): void { if (known.holders.size === 0) this.#limits.delete(key) }

  #clearSome (): boolean {
    this.#left ??= this.#limits.keys()
    for (let looked = 0; looked < LOOKED; looked++) {
      const key = this.#left.next().value
      if (key === undefined) {
        this.#left = undefined
        return false
      }
      const known = this.#limits.get(key)
      if (known === undefined) continue
      this.#clear(known)
      this.#forget(key, known)
    }
    return true
  }
}
