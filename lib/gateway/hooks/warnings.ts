import type { FastifyBaseLogger } from 'fastify'
import { Seldom } from '../../structures/seldom.js'

/** Warns once a minute of each kind of failure, and says how many there were since. */
export class Warnings {
  readonly #log: FastifyBaseLogger
  readonly #seldom = new Seldom()

  constructor (log: FastifyBaseLogger) {
    this.#log = log
  }

  /** @param kind one of a closed set, which tells lines apart */
  warn (kind: string, detail: object, message: string): void {
    const suppressed = this.#seldom.due(kind)
    if (suppressed === undefined) this.#log.debug(detail, message)
    else this.#log.warn(suppressed === 0 ? detail : { ...detail, suppressed }, message)
  }
}
