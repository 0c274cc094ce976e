import { Seldom } from '../../structures/seldom.js'
import { Undecodable } from './decode.js'

interface Log { warn (object: object, message: string): void }

/**
 * Counts what came from a broker and could not be read, and logs it once a minute without any of its content. The data
 * itself is left alone.
 */
export class Unread {
  readonly #log: Log
  readonly #seldom = new Seldom()
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
    if (this.#seldom.due('unread') === undefined) return
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
    if (this.#seldom.due('failed') === undefined) return
    this.#log.warn({ err: error, kind, size }, 'a message of the broker could not be handled')
  }
}
