export interface Rate { /** Messages per second. */ readonly messages: number, readonly burst: number }

/** Bytes of an answer that cost as much as one message. */
const UNIT = 16_384

/** Part of a message that sums of milliseconds are wrong by at most; nobody who waited as told is refused for it. */
const ROUNDING = 1e-6

/** Cost of an answer in messages, on top of the message that asked for it. */
export function costOf (bytes: number): number { return Math.floor(bytes / UNIT) }

/**
 * A token bucket that can go into debt. A refused message costs as well, so a peer that keeps sending after its
 * refusals reaches `-burst` and can be disconnected, while a peer that slows down recovers.
 */
export class TokenBucket {
  #tokens: number
  #at: number
  readonly #rate: Rate
  #spare: TokenBucket | undefined

  /** @param now milliseconds of a monotonic clock, as in `take` */
  constructor (rate: Rate, now: number) {
    this.#rate = rate
    this.#tokens = rate.burst
    this.#at = now
  }

  /**
   * @param cost in messages, at most `burst`
   * @returns 0 when the message is allowed, otherwise the milliseconds until it would be
   */
  take (now: number, cost = 1): number {
    const { messages, burst } = this.#rate
    const filled = this.#refill(now)
    if (filled >= cost - ROUNDING) {
      this.#tokens = Math.max(0, filled - cost)
      return 0
    }
    this.#tokens = Math.max(filled - cost, -burst - 1)
    return Math.max(1, Math.ceil((cost - this.#tokens) * 1_000 / messages))
  }

  /**
   * Takes back the last refusal, which then costs nothing.
   *
   * @returns a second bucket of the same rate, for what was refused and may not wait for others
   */
  spare (now: number): TokenBucket {
    this.#tokens++
    return (this.#spare ??= new TokenBucket(this.#rate, now))
  }

  /**
   * Charges a cost that became known only afterwards. The debt makes the bucket refuse the next messages, but the
   * charge alone never makes it flooded.
   */
  charge (now: number, cost: number): void {
    const filled = this.#refill(now)
    this.#tokens = Math.max(filled - cost, Math.min(filled, 1 - this.#rate.burst))
  }

  #refill (now: number): number {
    const filled = this.#filled(now)
    this.#at = now
    return filled
  }

  #filled (now: number): number {
    const { messages, burst } = this.#rate
    return Math.min(burst, this.#tokens + (now - this.#at) * messages / 1_000)
  }

  /** Messages that are spent of the burst, by the last call; one that is half there again cannot be spent. */
  get used (): number { return Math.ceil(this.#rate.burst - this.#tokens - ROUNDING) }

  /** Whether the peer has ignored as many refusals as its burst. */
  get isFlooded (): boolean { return this.#tokens <= -this.#rate.burst }

  /** Whether the bucket has been idle for so long that a new one would be the same. */
  isFull (now: number): boolean {
    return this.#filled(now) === this.#rate.burst
  }
}
