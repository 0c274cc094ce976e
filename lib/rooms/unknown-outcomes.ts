import type { Publication } from '../adapters/adapter.js'
import { Refusal } from '../errors/refusal.js'
import { keyOf, textOf } from '../protocol/key.js'
import { ExpiringMap } from '../structures/expiring-map.js'

/** Keys that are remembered, and for how many milliseconds: as long as brokers know them, where nothing else is set. */
const MAX_KEYS = 10_000
const KNOWN = 120_000
const OF_MESSAGE =
  'whether the event was published is not known; let the handler fail: when its message comes again, nothing is published twice'

/**
 * Keeps what callers were told of publications of which nobody knows whether they took effect. Adapters know one
 * attempt at a time, and name the key as their broker has it.
 */
export class UnknownOutcomes {
  /** By room and key, whether the broker knows the key. */
  readonly #keys = new ExpiringMap<boolean>(MAX_KEYS)

  /**
   * Waits for an answer.
   *
   * @throws Refusal as the adapter does. With the outcome `unknown` it names the key as the caller gives it, and none
   *   where it is that of the handler of a message, which finds its events again by running again. An attempt that is
   *   refused leaves the outcome unknown where an earlier one under its key has
   */
  async watch<T> (room: string, publication: Publication, answer: Promise<T>): Promise<T> {
    try {
      return await answer
    } catch (error) {
      throw error instanceof Refusal ? this.#told(room, publication, error) : error
    }
  }

  #told (room: string, { idempotencyKey, message }: Publication, refusal: Refusal): Refusal {
    const { word, outcome } = refusal
    const key = refusal.idempotencyKey ?? idempotencyKey
    if (key === undefined) return refusal
    const now = performance.now()
    const before = this.#keys.get(keyOf(room, key), now)
    if (outcome === undefined && (word !== 'unavailable' || before === undefined)) return refusal
    const isKnown = before ?? (refusal.idempotencyKey !== undefined)
    this.#keys.set(keyOf(room, key), isKnown, now + KNOWN, now)
    const { room: named, cause, why, data: { retryAfter } } = refusal
    return new Refusal(word, {
      message: message === undefined || refusal.idempotencyKey === undefined ? refusal.message : OF_MESSAGE,
      retryAfter,
      outcome: 'unknown',
      idempotencyKey: message === undefined && isKnown ? textOf(key) : undefined,
      room: named,
      why,
      cause
    })
  }
}
