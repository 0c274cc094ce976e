/** Milliseconds between two log lines. */
const QUIET = 60_000

interface Log { warn (object: object, message: string): void }

/** Counts what was evicted before its time, and logs the count at most once a minute. */
export class Losses {
  readonly #message: string
  #told = 0
  #toldAt = Number.NEGATIVE_INFINITY
  count = 0

  constructor (message: string) {
    this.#message = message
  }

  /** @param bytes that are kept now */
  add (log: Log | undefined, bytes: number): void {
    this.count++
    const now = performance.now()
    if (now - this.#toldAt < QUIET) return
    log?.warn({ forgotten: this.count - this.#told, bytes }, this.#message)
    this.#told = this.count
    this.#toldAt = now
  }
}
