import { TokenBucket, type Rate } from '../structures/token-bucket.js'
import { Refusal } from '../errors/refusal.js'
import { Link, LinkedList } from '../structures/linked-list.js'

/**
 * Users whose buckets are kept. One that nobody spent from for a while is full, and a full bucket and none are the
 * same.
 */
const MAX_USERS = 10_000
/** Buckets that are looked at for that when one is added. */
const SWEEP = 4

/**
 * What it costs to open a connection, in messages: one, or less where a user may have so many connections that all of
 * them could not come back at once, and once more, out of one burst.
 */
export function openingCost ({ rate, user }: {
  readonly rate: Rate
  readonly user: { readonly connections: number }
}): number {
  return Math.min(1, rate.burst / (2 * user.connections))
}

interface Spender { readonly userId: string, readonly bucket: TokenBucket }

/** The rate of what holds no connection, by user: HTTP callers, and connections on their way in. */
export class UserRateLimiter {
  readonly #rate: Rate
  readonly #users = new Map<string, Link<Spender>>()
  /** who spent longest ago comes first */
  readonly #order = new LinkedList<Spender>()

  constructor (rate: Rate) {
    this.#rate = rate
  }

  get size (): number { return this.#users.size }

  /**
   * @param cost in messages
   * @throws Refusal `rate_limited`
   */
  spend (userId: string, cost = 1): void {
    const now = performance.now()
    const wait = this.#of(userId, now).take(now, cost)
    if (wait > 0) {
      throw new Refusal('rate_limited', { retryAfter: wait, why: { limit: 'limits.rate', value: this.#rate } })
    }
  }

  /** What a request came to cost on top of the one that it has spent. */
  charge (userId: string, cost: number): void {
    if (cost === 0) return
    const now = performance.now()
    this.#of(userId, now).charge(now, cost)
  }

  #of (userId: string, now: number): TokenBucket {
    let link = this.#users.get(userId)
    if (link === undefined) {
      this.#makeRoom(now)
      link = new Link({ userId, bucket: new TokenBucket(this.#rate, now) })
      this.#users.set(userId, link)
    }
    this.#order.push(link)
    return link.item.bucket
  }

  #makeRoom (now: number): void {
    for (let looked = 0; looked < SWEEP; looked++) {
      const { first } = this.#order
      if (first === undefined || (this.#users.size < MAX_USERS && !first.item.bucket.isFull(now))) return
      first.remove()
      this.#users.delete(first.item.userId)
    }
  }
}
