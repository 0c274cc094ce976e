/** One write to the broker, and the time that the broker gave it. */
export interface Stamp {
  /** `performance.now()` when the write was known to be done. */
  readonly writtenAt: number
  /** Unix time in milliseconds, by the broker's clock. */
  readonly time: number
}

/** Writes that are timed for one measurement: the quickest is the most exact. */
const SAMPLES = 3
/** Milliseconds by which a wall clock may differ from the broker's and still count as the same. */
const TOLERANCE = 1_000
/** Largest error of a quartz clock, per millisecond. */
const DRIFT = 0.0002

/**
 * The broker's clock, as this node knows it. Decisions that nodes make together by time (leases, claims, denials, ages)
 * use it, so that a node whose own clock is wrong decides like the others. Between two measurements it follows the
 * monotonic clock, which is never set.
 */
export class NatsClock {
  readonly #stamp: () => Promise<Stamp>
  /** The broker's time minus `performance.now()`. */
  #offset = performance.timeOrigin
  #error = Number.POSITIVE_INFINITY
  #measuredAt = 0

  constructor (stamp: () => Promise<Stamp>) {
    this.#stamp = stamp
  }

  /** Unix time in milliseconds, by the broker's clock. */
  now (): number { return Math.round(performance.now() + this.#offset) }

  /**
   * Milliseconds by which the broker's clock is ahead of this machine's. Small differences count as none, because they
   * cannot be told from the time that an answer takes.
   */
  get ahead (): number {
    const ahead = this.now() - Date.now()
    return Math.abs(ahead) < TOLERANCE ? 0 : ahead
  }

  /** Converts a time of this machine's clock to the broker's. */
  shared (time: number): number { return time + this.ahead }

  /** Converts a time of the broker's clock to this machine's. */
  local (time: number): number { return time - this.ahead }

  /** Measures the broker's clock. Rejects when the broker cannot be asked; the clock stays as it was. */
  async measure (): Promise<void> {
    let best: { readonly offset: number, readonly error: number } | undefined
    for (let sample = 0; sample < SAMPLES; sample++) {
      const began = performance.now()
      const { writtenAt, time } = await this.#stamp()
      const error = (writtenAt - began) / 2
      if (best === undefined || error < best.error) best = { offset: time - (began + writtenAt) / 2, error }
    }
    const now = performance.now()
    const drifted = this.#error + (now - this.#measuredAt) * DRIFT
    const { offset, error } = best!
    // A slow answer does not replace a better measurement, unless both cannot be true: then the broker's clock is
    // another one.
    if (error > drifted && Math.abs(offset - this.#offset) <= error + drifted) return
    this.#offset = offset
    this.#error = error
    this.#measuredAt = now
  }
}
