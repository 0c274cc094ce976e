import { Bucket, type Rate } from './connection/rate-limit.js'
import { Refusal } from './errors.js'

/** Users whose buckets are kept; full ones go first, a full bucket and none are the same. */
const MAX_USERS = 10_000

/** The rate of HTTP callers, by user: they have no connection to keep a bucket on. */
export class UserRates {
  readonly #rate: Rate
  readonly #buckets = new Map<string, Bucket>()

  constructor (rate: Rate) {
    this.#rate = rate
  }

  /** @throws Refusal `rate_limited` */
  spend (userId: string): void {
    const now = performance.now()
    let bucket = this.#buckets.get(userId)
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_USERS) this.#makeRoom(now)
      bucket = new Bucket(this.#rate, now)
      this.#buckets.set(userId, bucket)
    }
    const wait = bucket.take(now)
    if (wait > 0) throw new Refusal('rate_limited', { retryAfter: wait, why: { limit: 'limits.rate', value: this.#rate } })
  }

  #makeRoom (now: number): void {
    for (const [userId, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(userId)
    for (const userId of this.#buckets.keys()) {
      if (this.#buckets.size < MAX_USERS) return
      this.#buckets.delete(userId)
    }
  }
}
