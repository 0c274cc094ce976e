import { Undecodable } from './decode.js'

/** Milliseconds between two log lines. */
const QUIET = 60_000

interface Log { warn (object: object, message: string): void }

/**
 * Counts what came from a broker and could not be read, and logs it once a minute without any of its content. The data
 * itself is left alone.
 */
export class Unread {
  readonly #log: Log
  #saidAt = Number.NEGATIVE_INFINITY
  #failedAt = Number.NEGATIVE_INFINITY
  count = 0

  constructor (log: Log) {
    this.#log = log
  }

  /**
   * @param kind of the channel or value that it came by
   * @param size in characters
   */
  note (kind: string, size: number): void {
    this.count++
    const now = performance.now()
    if (now - this.#saidAt < QUIET) return
    this.#saidAt = now
    this.#log.warn(
      { kind, size, undecodable: this.count },
      'the broker brought something that this version cannot read; it is left alone. Does another application, or another version of this one, use the same prefix?'
    )
  }

  /** Takes an error of a callback of the broker's client, into which no error may be thrown. */
  failed (error: unknown, kind: string, size: number): void {
    if (error instanceof Undecodable) {
      this.note(kind, size)
      return
    }
    const now = performance.now()
    if (now - this.#failedAt < QUIET) return
    this.#failedAt = now
    this.#log.warn({ err: error, kind, size }, 'a message of the broker could not be handled')
  }
}
