import type { Code } from '../protocol/codes.js'
import { Refusal, type RefusalOptions } from './refusal.js'

/**
 * What a refusal is made of, for who remembers it. The error itself keeps, with its stack, the objects in whose methods
 * it was made: the request and its answer, or the connection.
 */
export class KeptRefusal {
  readonly #word: Code
  readonly #options: RefusalOptions
  readonly #userId: string | undefined

  /** Its `cause` is left out: it has been logged by then. */
  constructor (refusal: Refusal) {
    const { word, data, statusCode, isOfApp, room, outcome, idempotencyKey, why, userId } = refusal
    const { code, message, retry, retryAfter, details } = data
    const as = isOfApp ? { code, statusCode, retry } : undefined
    this.#word = word
    this.#options = { message, retryAfter, details, room, outcome, idempotencyKey, as, why }
    this.#userId = userId
  }

  /** Makes the same refusal again. */
  again (): Refusal {
    const refusal = new Refusal(this.#word, this.#options)
    refusal.userId = this.#userId
    return refusal
  }
}
