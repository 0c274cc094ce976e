import type { FastifyBaseLogger } from 'fastify'
import { Seldom } from '../structures/seldom.js'
import { isUnavailable } from './refusal.js'

type Log = Pick<FastifyBaseLogger, 'debug' | 'warn' | 'error'>

/**
 * Logs failures. While the server of an adapter or of keys is away, everything that depends on it fails as often as it
 * is tried: of these there is one line a minute and kind, with the number of those before it as `suppressed`, and the
 * others are at debug level.
 */
export class FailureLog {
  readonly #seldom = new Seldom()

  /** @param what the message of the line, which is the kind of failure as well */
  warn (log: Log, what: string, error: unknown, detail: object = {}): void { this.#write('warn', log, what, error, detail) }

  /** The same, of what somebody who asked was answered with an error. */
  error (log: Log, what: string, error: unknown, detail: object = {}): void {
    this.#write('error', log, what, error, detail)
  }

  /** Logs why a refusal `unavailable` was one, of which the peer is told nothing. */
  away (log: Log, what: string, cause: unknown): void { this.#seldomly('error', log, what, { err: cause }) }

  #write (level: 'warn' | 'error', log: Log, what: string, error: unknown, detail: object): void {
    const line = { err: error, ...detail }
    if (isUnavailable(error)) this.#seldomly(level, log, what, line)
    else log[level](line, what)
  }

  #seldomly (level: 'warn' | 'error', log: Log, what: string, line: object): void {
    const suppressed = this.#seldom.due(what)
    if (suppressed === undefined) log.debug(line, what)
    else log[level](suppressed === 0 ? line : { ...line, suppressed }, what)
  }
}
