import { ExpiringMap } from '../../structures/expiring-map.js'

/**
 * Milliseconds for which an echo may come late, by a server that has stood still or by a link that was given up, and
 * events that are remembered: both are more than any pause after which clients are still there.
 */
const LATE = 120_000
const MAX_ORIGINS = 100_000

/** Events that were delivered to this node's members without their echo, which may still come. */
export class Handed {
  readonly #origins = new ExpiringMap<true>(MAX_ORIGINS)

  add (origin: string): void {
    const now = performance.now()
    this.#origins.set(origin, true, now + LATE, now)
  }

  has (origin: string): boolean {
    return this.#origins.size > 0 && this.#origins.get(origin, performance.now()) !== undefined
  }
}
