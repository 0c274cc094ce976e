import type { FastifyRequest } from 'fastify'

/** What is looked at of a request. */
interface Looked extends Pick<FastifyRequest, 'ips' | 'headers'> {
  readonly log: { warn (message: string): void }
}

/** Warns once where all clients of a proxy have one address, and share its limit, because `trustProxy` is not set. */
export class ProxyWarning {
  #isDone: boolean

  /** @param addressLimit `limits.address`; without it an address limits nobody, and there is nothing to warn of */
  constructor (addressLimit: number | undefined) {
    this.#isDone = addressLimit === undefined
  }

  look ({ ips, headers, log }: Looked): void {
    if (this.#isDone || ips !== undefined || headers['x-forwarded-for'] === undefined) return
    this.#isDone = true
    log.warn(
      'a request carries x-forwarded-for, but the app trusts no proxy: limits.address counts the proxy as one client; set trustProxy in the options of Fastify, or ignore this where there is none'
    )
  }
}
