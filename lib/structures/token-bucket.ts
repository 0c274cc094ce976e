/** Bytes of an answer that cost as much as one message. */
const UNIT = 16_384

/** What an answer costs beside the message that asked for it. */
export function costOf (bytes: number): number { return Math.floor(bytes / UNIT) }

export interface Rate { /** per second */ readonly messages: number, readonly burst: number }

/**
 * A token bucket that can go into debt: a refused message costs as well, so that a peer that goes on after its refusals
 * reaches `-burst` and can be cut, while one that slows down recovers.
 */
export class TokenBucket {
  #tokens: number
  #at: number
  readonly #rate: Rate

  /** @param now milliseconds of a monotonic clock, as in `take` */
  constructor (rate: Rate, now: number) {
    this.#rate = rate
    this.#tokens = rate.burst
    this.#at = now
  }

  /**
   * @param cost in messages; of a burst at most
   * @returns 0 when allowed; else the milliseconds until it is
   */
  take (now: number, cost = 1): number {
    const { messages, burst } = this.#rate
    const filled = Math.min(burst, this.#tokens + (now - this.#at) * messages / 1_000)
    this.#at = now
    if (filled >= cost) {
      this.#tokens = filled - cost
      return 0
    }
    this.#tokens = Math.max(filled - cost, -burst - 1)
    return Math.max(1, Math.ceil((cost - this.#tokens) * 1_000 / messages))
  }

  /**
   * What something came to cost on top, once that is known: it is owed, and refuses what follows, but makes no flood of
   * itself.
   */
  charge (now: number, cost: number): void {
    const { messages, burst } = this.#rate
    const filled = Math.min(burst, this.#tokens + (now - this.#at) * messages / 1_000)
    this.#at = now
    this.#tokens = Math.max(filled - cost, Math.min(filled, 1 - burst))
  }

  /** the peer took no notice of as many refusals as its burst */
  get isFlooded (): boolean { return this.#tokens <= -this.#rate.burst }

  /** untouched for so long that a new bucket would be the same */
  isFull (now: number): boolean {
    return this.#tokens + (now - this.#at) * this.#rate.messages / 1_000 >= this.#rate.burst
  }
}
