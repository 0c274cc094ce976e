import { CUT_OFF, KEPT } from '../broker/envelopes.js'

/** Milliseconds by which two readings of one clock may differ. */
const TOLERANCE = 1_000

/**
 * Tells how old kept messages are, by the clock of the server that named them. Another server that takes its place may
 * have another clock, and names those that follow by it. While messages from before may be kept, the clock by which a
 * message is younger counts: one that came through the change must not be taken for an old one.
 */
export class MessageAges {
  /** The server's time minus `performance.now()`, or less: an answer takes a while. */
  #offset: number | undefined
  /** The same of a former clock that was behind, and when it counts no more. */
  #former: { readonly offset: number, readonly until: number } | undefined
  /** Nothing from before this concerns the node. */
  #startedAt = 0

  /**
   * Takes a reading of the server's clock.
   *
   * @param before when it was asked for, by `performance.now()`
   * @param now when it was there
   * @returns whether it is so far from the last one that the server may have dropped messages before they were read
   */
  read (time: number, before: number, now: number): boolean {
    const known = this.#offset
    const offset = this.#offset = time - now
    if (known === undefined) {
      this.#startedAt = before
      return false
    }
    if (this.#former !== undefined && this.#former.until <= now) this.#former = undefined
    if (known < offset - TOLERANCE) {
      this.#former = { offset: Math.min(known, this.#former?.offset ?? known), until: now + KEPT }
    }
    return Math.abs(offset - known) > CUT_OFF
  }

  /** @param id of a message: the server's time, a dash and a number */
  of (id: string, now: number): number {
    return now + Math.min(this.#offset ?? 0, this.#former?.offset ?? Infinity) - Number.parseInt(id, 10)
  }

  /** Whether a message is from before the node's start, or so old that it may be no longer known to have been read. */
  isPast (id: string, now: number): boolean {
    const age = this.of(id, now)
    return age > KEPT || age > now - this.#startedAt + TOLERANCE
  }
}
