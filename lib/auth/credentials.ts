import type { FastifyRequest } from 'fastify'
import type { Settings } from '../options/resolve.js'
import { bearerOf, offeredProtocols } from '../protocol/subprotocol.js'
import type { Carrier } from '../types/options.js'

/** The credential that a request carries, before it is verified; its token is empty where none can be used. */
export interface Credential { readonly carrier: Carrier, readonly token: string }

export interface CredentialsOptions {
  readonly settings: Settings['auth']
  /** Whether the application itself identifies the user, from anything that the request carries. */
  readonly isAsked: boolean
  /** Credentials of the query, which were taken out of the URL before it could be logged. */
  readonly queryOf: (request: FastifyRequest) => {
    readonly token?: string | undefined
    readonly ticket?: string | undefined
  }
}

/** Finds the credential of a request in one of the places that the options allow. */
export class Credentials {
  readonly #options: CredentialsOptions
  /** The carriers without tickets, so that a ticket that opens a connection is not spent on another kind of request. */
  readonly #lasting: readonly Carrier[]

  constructor (options: CredentialsOptions) {
    this.#options = options
    this.#lasting = options.settings.carriers.filter((carrier) => carrier !== 'ticket')
  }

  /** Finds the first credential that is none of the empty ones, in the order of the carriers. */
  find (request: FastifyRequest, offered?: readonly string[]): Credential | undefined {
    return this.#find(request, this.#options.settings.carriers, offered)
  }

  /** Finds the first credential that is no ticket. */
  findLasting (request: FastifyRequest): Credential | undefined {
    return this.#find(request, this.#lasting)
  }

  /**
   * Whether a browser adds the credential on its own (a cookie, or whatever `authenticate` finds without a token), so
   * that a missing Origin is no consent.
   */
  isAmbient (credential: Credential | undefined): boolean {
    return credential === undefined ? this.#options.isAsked : credential.carrier === 'cookie'
  }

  #find (
    request: FastifyRequest,
    carriers: readonly Carrier[],
    offered?: readonly string[]
  ): Credential | undefined {
    let unusable: Credential | undefined
    for (const carrier of carriers) {
      const token = this.#read(request, carrier, offered)
      if (token === undefined) continue
      if (token !== '') return { carrier, token }
      unusable ??= { carrier, token }
    }
    return unusable
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
