import type { FastifyRequest } from 'fastify'
import type { Settings } from '../options/resolve.js'
import { bearerOf, offeredProtocols } from '../protocol/subprotocol.js'
import type { Carrier } from '../types/options.js'

/** What a request carries, before anything is verified. */
export interface Credential { readonly carrier: Carrier, readonly token: string }

export interface CredentialsOptions {
  readonly settings: Settings['auth']
  /** the application finds out by itself who asks, from whatever the request carries */
  readonly isAsked: boolean
  /** credentials of the query, which were taken out of the URL before anybody could log it */
  readonly queryOf: (request: FastifyRequest) => {
    readonly token?: string | undefined
    readonly ticket?: string | undefined
  }
}

/** Finds the credential of a request, wherever the options let it be carried. */
export class Credentials {
  readonly #options: CredentialsOptions
  /** for what takes no tickets: one that opens a connection is not to be spent on it */
  readonly #lasting: readonly Carrier[]

  constructor (options: CredentialsOptions) {
    this.#options = options
    this.#lasting = options.settings.carriers.filter((carrier) => carrier !== 'ticket')
  }

  /**
   * The first credential found, in the order of the carriers.
   *
   * @param offered the subprotocols of the request, where they have been read before
   */
  find (request: FastifyRequest, offered?: readonly string[]): Credential | undefined {
    return this.#find(request, this.#options.settings.carriers, offered)
  }

  /** The same without tickets. */
  findLasting (request: FastifyRequest): Credential | undefined {
    return this.#find(request, this.#lasting)
  }

  /**
   * Whether it is one that a browser adds by itself (a cookie, or whatever `authenticate` finds without a token), so
   * that silence is no consent.
   */
  isAmbient (credential: Credential | undefined): boolean {
    return credential === undefined ? this.#options.isAsked : credential.carrier === 'cookie'
  }

  #find (
    request: FastifyRequest,
    carriers: readonly Carrier[],
    offered?: readonly string[]
  ): Credential | undefined {
    for (const carrier of carriers) {
      const token = this.#read(request, carrier, offered)
      if (token !== undefined) return { carrier, token }
    }
    return undefined
  }

  #read (request: FastifyRequest, carrier: Carrier, offered?: readonly string[]): string | undefined {
    switch (carrier) {
      case 'header': {
        const { authorization } = request.headers
        if (authorization === undefined) return undefined
        return /^Bearer +(\S+) *$/i.exec(authorization)?.[1] ?? ''
      }
      case 'subprotocol': return bearerOf(offered ?? offeredProtocols(request.headers['sec-websocket-protocol']))
      case 'ticket': return this.#options.queryOf(request).ticket
      case 'query': return this.#options.queryOf(request).token
      case 'cookie': return cookieOf(request, this.#options.settings.cookie!)
    }
  }
}

function cookieOf (request: FastifyRequest, name: string): string | undefined {
  const { cookies } = request as { cookies?: Record<string, string | undefined> }
  if (cookies !== undefined) return cookies[name]
  for (const part of request.headers.cookie?.split(';') ?? []) {
    const at = part.indexOf('=')
    if (at !== -1 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim()
  }
  return undefined
}
