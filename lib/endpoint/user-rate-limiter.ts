import { Buckets } from '../structures/buckets.js'
import type { Rate, TokenBucket } from '../structures/token-bucket.js'
import type { LimitWarnings } from '../errors/limit-warnings.js'
import { Refusal } from '../errors/refusal.js'

/** Users whose buckets are kept. A bucket that was not used for a while is full, and a full bucket equals none. */
const MAX_USERS = 10_000

/**
 * Cost of opening a connection in messages: one, or less where a user may have so many connections that all of them
 * could not otherwise reconnect at once, and once more, within one burst.
 */
export function openingCost ({ rate, user }: {
  readonly rate: Rate
  readonly user: { readonly connections: number }
}): number {
  return Math.min(1, rate.burst / (2 * user.connections))
}

/** The rate, by user, of what is not a connection: HTTP callers, and connections that are opening. */
export class UserRateLimiter {
  readonly #rate: Rate
  readonly #limitWarnings: LimitWarnings
  readonly #users = new Buckets(MAX_USERS)

  constructor (rate: Rate, limitWarnings: LimitWarnings) {
    this.#rate = rate
    this.#limitWarnings = limitWarnings
  }

  get size (): number { return this.#users.size }

  /**
   * @param cost in messages
   * @throws Refusal `rate_limited`
   */
  spend (userId: string, cost = 1): void {
    const now = performance.now()
    const bucket = this.#of(userId, now)
    const wait = bucket.take(now, cost)
    if (wait > 0) throw this.#refused(wait)
    this.#limitWarnings.look('limits.rate', bucket.used, this.#rate.burst, { userId })
  }

  /**
   * Spends from a bucket of its own for a message that `spend` has refused and that may not wait for others.
   *
   * @throws Refusal `rate_limited`
   */
  spendSpare (userId: string): void {
    const now = performance.now()
    const wait = this.#of(userId, now).spare(now).take(now)
    if (wait > 0) throw this.#refused(wait)
  }

  #refused (wait: number): Refusal {
    return new Refusal('rate_limited', { retryAfter: wait, why: { limit: 'limits.rate', value: this.#rate } })
  }

  /** Charges a cost that became known after the request was charged. */
  charge (userId: string, cost: number): void {
    if (cost === 0) return
    const now = performance.now()
    this.#of(userId, now).charge(now, cost)
  }

  #of (userId: string, now: number): TokenBucket { return this.#users.of(userId, this.#rate, now) }
}
