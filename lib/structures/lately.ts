import { ExpiringMap } from './expiring-map.js'
import { inTurns } from './slices.js'

/**
 * Milliseconds for which something is remembered: longer than it takes until another server has the place of one that
 * was lost with its last changes.
 */
const LATELY = 60_000
/** How much is remembered; beyond that the oldest is forgotten. */
const MOST = 10_000
/** How much is done again in one turn of the event loop. */
const AT_ONCE = 100

interface Told<T> { readonly name: string, readonly value: T }

/** Remembers what a broker was told lately, to tell it once more where it comes back with data that may lack it. */
export class Lately<T> {
  readonly #told = new ExpiringMap<Told<T>>(MOST)

  /** @param from time by `performance.now()` from which it is remembered, now at the earliest */
  remember (name: string, value: T, from = 0): void {
    const now = performance.now()
    this.#told.set(name, { name, value }, Math.max(from, now) + LATELY, now)
  }

  /** Forgets what does not hold any more. */
  forget (name: string): void { this.#told.delete(name) }

  /** Runs a step for each that is remembered, in turns of the event loop, unless it is forgotten until then. */
  again (step: (value: T) => void): void {
    void inTurns([...this.#told.values(performance.now())], AT_ONCE, (told) => {
      if (this.#told.get(told.name, performance.now()) === told) step(told.value)
    })
  }
}
