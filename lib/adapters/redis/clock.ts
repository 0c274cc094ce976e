/** Milliseconds for which a good reading of a clock is preferred to a worse one. */
const RELIABLE = 30_000
/** Milliseconds by which a wall clock may differ from a server's and still count as the same. */
const TOLERANCE = 1_000

/** Estimates how far the time of a server is from this process's monotonic clock. */
export class ServerClock {
  /** Bounds of the difference, and the time at which they were read. */
  #low = 0
  #high = 0
  #readAt = Number.NEGATIVE_INFINITY

  /**
   * Takes a reading: the server's clock showed `time` between two moments here. The closer these are, the better the
   * reading. A clock that was set is believed at once.
   */
  read (time: number, before: number, after: number): void {
    const [low, high] = [time - after, time - before]
    const isSame = low <= this.#high && high >= this.#low
    if (isSame && this.#high - this.#low < high - low && after - this.#readAt < RELIABLE) return
    this.#low = low
    this.#high = high
    this.#readAt = after
  }

  /**
   * Milliseconds by which the server's clock is ahead of this machine's. Small differences count as none, because they
   * cannot be told from the time that an answer takes.
   */
  get ahead (): number {
    const ahead = this.at(performance.now()) - Date.now()
    return Math.abs(ahead) < TOLERANCE ? 0 : ahead
  }

  at (now: number): number { return Math.ceil(now + (this.#low + this.#high) / 2) }
}
