import { ExpiringMap } from '../../structures/expiring-map.js'

/** Milliseconds for which an echo may come late. */
const LATE = 10_000

/** Events that were delivered to this node's members without their echo, which may still come. */
export class Handed {
  readonly #origins = new ExpiringMap<true>(10_000)

  add (origin: string): void {
    const now = performance.now()
    this.#origins.set(origin, true, now + LATE, now)
  }

  has (origin: string): boolean {
    return this.#origins.size > 0 && this.#origins.get(origin, performance.now()) !== undefined
  }
}
