import type { FastifyRequest } from 'fastify'
import { redacting } from '../errors/redact.js'
import { Refusal } from '../errors/refusal.js'
import { within } from '../structures/within.js'
import type { ApiCall, ApiOptions } from '../types/api-options.js'
import type { Caller } from './keys.js'

/** One request of a program that has a valid key. */
export class Call {
  readonly caller: Caller
  readonly request: FastifyRequest
  readonly #authorize: ApiOptions['authorize']
  readonly #timeout: number

  /** @param timeout milliseconds that `authorize` may take */
  constructor (caller: Caller, request: FastifyRequest, authorize: ApiOptions['authorize'], timeout: number) {
    this.caller = caller
    this.request = request
    this.#authorize = authorize
    this.#timeout = timeout
  }

  /**
   * Asks the application, once the key itself allows what is asked for.
   *
   * @throws Refusal `forbidden`, `unavailable` when it takes too long; what `authorize` throws
   */
  async allow (asked: Omit<ApiCall, 'name' | 'request'>): Promise<void> {
    const authorize = this.#authorize
    if (authorize === undefined) return
    const { request } = this
    const { room } = asked
    const answer = redacting(request, () => authorize({ name: this.caller.name, ...asked, request }))
    const isAllowed = typeof answer === 'boolean'
      ? answer
      : await within(this.#timeout, Promise.resolve(answer), tooLate)
    if (isAllowed === true) return
    throw new Refusal('forbidden', { room, why: { fix: 'options.api.authorize has to answer true, or a promise of it' } })
  }
}

function tooLate (): Refusal {
  return new Refusal('unavailable', { retryAfter: 1_000, cause: new Error('options.api.authorize took too long') })
}
