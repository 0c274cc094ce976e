import type { FastifyRequest } from 'fastify'
import type { Identity } from '../connection/identity.js'
import { redactError, secretsOf } from '../errors/redact.js'
import { ofUser, Refusal } from '../errors/refusal.js'
import type { Settings } from '../options/resolve.js'
import type { Awaitable } from '../structures/awaitable.js'
import { within } from '../structures/within.js'
import type { Carrier, RealtimeOptions } from '../types/options.js'
import type { User } from '../types/user.js'
import type { Credential, Credentials } from './credentials.js'
import type { Denials } from './denials.js'
import { isExpired } from './expiry.js'
import { saidBy, type VerifyJwt } from './jwt.js'
import type { Revocations } from './revocations.js'
import type { Ticket, Tickets } from './tickets.js'
import { userRoom } from '../rooms/built-in.js'

export interface AuthenticationOptions {
  readonly settings: Settings['auth']
  /** Milliseconds that verifying may take. */
  readonly timeout: number
  readonly authenticate: RealtimeOptions['authenticate']
  /** The default of `authenticate`. */
  readonly verifyJwt: VerifyJwt
  readonly userId: RealtimeOptions['userId']
  readonly credentials: Credentials
  readonly tickets: Tickets
  readonly denials: Denials
  readonly revocations: Revocations
}

const KNOWN =
  'the session is over or unknown; where it should be known, authenticate has to return its user, or a promise of it'
/** The last time that a `Date` can express, in Unix milliseconds. */
const MAX_TIME = 8.64e15
interface Claims { readonly sub?: unknown, readonly exp?: unknown, readonly jti?: unknown }

/** Identifies the caller: verifies the credential of a request, or redeems its ticket. */
export class Authentication {
  readonly #options: AuthenticationOptions

  constructor (options: AuthenticationOptions) {
    this.#options = options
  }

  /** @throws Refusal `unauthorized`, `token_expired`, `revoked`, or `unavailable` when authentication itself fails */
  identify (request: FastifyRequest, credential: Credential | undefined): Awaitable<Identity> {
    const identity = credential?.carrier === 'ticket' && credential.token !== ''
      ? this.#options.tickets.redeem(credential.token)
      : this.#verify(request, credential)
    return identity instanceof Promise ? identity.then((found) => this.#undenied(found)) : this.#undenied(identity)
  }

  #undenied (identity: Identity): Awaitable<Identity> {
    return this.#options.denials.check(identity)
  }

  #verify (request: FastifyRequest, credential: Credential | undefined): Awaitable<Identity> {
    const token = credential?.token
    const { authenticate, timeout, verifyJwt } = this.#options
    if (token === '' || (token === undefined && authenticate === undefined)) {
      const { carriers } = this.#options.settings
      throw new Refusal('unauthorized', {
        why: {
          reason: credential === undefined ? 'no credential was found' : unusable(credential.carrier),
          carriers
        }
      })
    }
    const secrets = (): string[] => secretsOf(request, token)
    const found = authenticate === undefined
      ? verifyJwt(request, token!)
      : callOut('authenticate', () => authenticate(request, token), secrets)
    // A secret may be fetched from a key server that is away.
    const named = found instanceof Promise
      ? found.then((user) => this.#named(user, secrets))
      : this.#named(found, secrets)
    return named instanceof Promise ? within(timeout, named, tooLate) : named
  }

  #named (user: unknown, secrets: () => string[]): Awaitable<Identity> {
    const { userId: idOf } = this.#options
    if (user === null || user === undefined) {
      throw new Refusal('unauthorized', { why: { reason: `authenticate returned ${String(user)}`, fix: KNOWN } })
    }
    const claims = (typeof user === 'object' ? user : {}) as Claims
    return idOf === undefined
      ? this.#checked(user, claims, claims.sub)
      : callOut('userId', () => idOf(user as User), secrets).then((userId) => this.#checked(user, claims, userId))
  }

  #checked (user: unknown, { exp, jti }: Claims, userId: unknown): Identity {
    const { settings } = this.#options
    if (typeof userId !== 'string' || userId === '') {
      throw new Refusal('unauthorized', {
        message: 'the credential names no user',
        why: { fix: 'give options.userId, which says what of the user is the id; by default it is sub' }
      })
    }
    if (userRoom(userId) === undefined) {
      throw new Refusal('unauthorized', {
        message: 'the user id makes no room name',
        why: {
          fix:
            'give options.userId, which makes one without control characters, at most 249 bytes after encodeURIComponent'
        }
      })
    }
    if (exp === undefined || exp === null) {
      if (settings.requireExp) {
        throw new Refusal('unauthorized', {
          message: 'the credential has no expiry (exp)',
          why: { fix: 'sign tokens with expiresIn, or set auth.requireExp to false' }
        })
      }
    } else if (typeof exp !== 'number' || !Number.isFinite(exp) || exp * 1_000 > MAX_TIME) {
      throw new Refusal('unauthorized', { message: 'the credential has no valid expiry (exp)' })
    } else if (isExpired(exp)) throw new Refusal('token_expired')
    const tokenId = typeof jti === 'number' && Number.isSafeInteger(jti) ? String(jti) : jti ?? undefined
    if (tokenId !== undefined && typeof tokenId !== 'string') {
      throw new Refusal('unauthorized', {
        message: 'the credential has no valid id (jti)',
        why: { fix: 'let jti be a string or a whole number, by which revoke({ tokenId }) finds it, or leave it out' }
      })
    }
    return {
      user,
      userId,
      ...(typeof exp === 'number' ? { exp } : {}),
      ...(tokenId === undefined ? {} : { tokenId })
    }
  }

  /**
   * Issues a one-use ticket to the bearer of another credential.
   *
   * @param spend throws when the user asks too often
   */
  async issueTicket (request: FastifyRequest, spend: (userId: string) => void): Promise<Ticket> {
    const { credentials, tickets, revocations } = this.#options
    const since = revocations.moment
    tickets.check()
    const identity = await this.identify(request, credentials.findLasting(request))
    try {
      spend(identity.userId)
      const issued = await tickets.issue(identity)
      revocations.check(since, identity)
      return issued
    } catch (error) {
      throw ofUser(error, identity.userId)
    }
  }

  /**
   * Returns the identity behind a ticket with which a connection renews its credential.
   *
   * @throws Refusal
   */
  async redeem (ticket: string): Promise<Identity> {
    const identity = await this.#options.tickets.redeem(ticket)
    return await this.#options.denials.check(identity)
  }

  /**
   * Id of the user that the app itself found behind a request, by the `request.user` of @fastify/jwt; `undefined` when
   * the app has not looked.
   */
  userIdOf ({ user }: FastifyRequest): string | undefined {
    if (typeof user !== 'object' || user === null) return undefined
    const id: unknown = this.#options.userId === undefined
      ? (user as { sub?: unknown }).sub
      : this.#options.userId(user as User)
    // It is no answer, and a failure of it would end the process.
    if (id instanceof Promise) id.catch(() => undefined)
    return typeof id === 'string' ? id : undefined
  }
}

/**
 * Calls the application's authentication, by the name of its option. An error with a 4xx status becomes 401, any other
 * error becomes `unavailable`.
 *
 * @param secrets finds what must not be logged of an error
 */
async function callOut<T> (
  option: 'authenticate' | 'userId',
  step: () => T | Promise<T>,
  secrets: () => readonly string[]
): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (error instanceof Refusal) throw error
    const status = (error as { statusCode?: unknown } | null)?.statusCode
    if (typeof status === 'number' && status >= 400 && status < 500) {
      const { why, cause } = saidBy(error, secrets())
      const fix = `options.${option} has thrown it: look at what that compares`
      throw new Refusal('unauthorized', { cause, why: { ...why, fix } })
    }
    throw Object.assign(new Refusal('unavailable', { message: 'authentication is not available', retryAfter: 1_000 }), {
      cause: redactError(error, secrets())
    })
  }
}

function unusable (carrier: Carrier): string {
  return carrier === 'header' ? 'the header authorization is not "Bearer <token>"' : `the credential in "${carrier}" is empty`
}

function tooLate (): Refusal {
  return new Refusal('unavailable', { message: 'authentication takes too long', retryAfter: 1_000 })
}
