import { randomBytes } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { ClaimStore, DenialStore } from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import { isFields, parseJson } from '../adapters/broker/stored.js'
import type { Identity } from '../connection/identity.js'
import { Refusal } from '../errors/refusal.js'
import { REALTIME_ERR_ADAPTER } from '../errors/misuse.js'
import { OpenTickets } from './open-tickets.js'
import type { Settings } from '../options/resolve.js'
import { DEFAULTS } from '../options/defaults.js'
import { PROTOCOL } from '../protocol/frames.js'
import { keyOfKind } from '../protocol/key.js'
import type { Revocations } from './revocations.js'
import { Remembered } from '../retention/remembered.js'
import { Retention } from '../retention/retention.js'
import { after } from '../structures/timers.js'
import type { Carrier, RealtimeOptions } from '../types/options.js'
import type { User } from '../types/user.js'
import { userRoom } from '../rooms/user-room.js'
import { saidBy, type VerifyJwt } from './jwt.js'

/** What a request carries, before anything is verified. */
export interface Credential { readonly carrier: Carrier, readonly token: string }

export interface AuthOptions {
  readonly settings: Settings['auth']
  /** milliseconds */
  readonly timeout: number
  readonly authenticate: RealtimeOptions['authenticate']
  /** the default of `authenticate` */
  readonly verifyJwt: VerifyJwt
  readonly userId: RealtimeOptions['userId']
  readonly claims: ClaimStore | undefined
  readonly denials: DenialStore | undefined
  readonly revocations: Revocations
  /** bytes of the denials that this node remembers by itself */
  readonly remembered: number
  /** a denial was forgotten before its time, over these bytes */
  readonly onForgotten?: () => void
  /** whether somebody is let in of whom the adapter cannot be asked */
  readonly whenUnavailable: Settings['limits']['whenUnavailable']
  /** credentials of the query, which were taken out of the URL before anybody could log it */
  readonly queryOf: (request: FastifyRequest) => {
    readonly token?: string | undefined
    readonly ticket?: string | undefined
  }
}

/** Values of `Sec-WebSocket-Protocol`, in the order of the list. */
export function offeredProtocols (request: FastifyRequest): string[] {
  const header = request.headers['sec-websocket-protocol']
  return header === undefined ? [] : header.split(',').map((part) => part.trim()).filter((part) => part !== '')
}

const BEARER = 'bearer.'
/** for tokens that are no token of RFC 7230, which a subprotocol has to be: as base64url of their UTF-8 */
const BEARER_64 = 'bearer64.'
/** The last moment that a `Date` can be, in Unix milliseconds. */
const MAX_TIME = 8.64e15
/** Denials that are looked at for their end when one is added. */
const SWEEP = 8

interface Denied { readonly subject: string, readonly until: number }

interface Claims { readonly sub?: unknown, readonly exp?: unknown, readonly jti?: unknown }

function refuseDenied (isDenied: boolean): void {
  if (isDenied) throw new Refusal('revoked')
}

/** Who is asking: finds the credential, verifies it, and keeps the one-use tickets. */
export class Authentication {
  readonly #options: AuthOptions
  readonly #open = new OpenTickets({ perUser: DEFAULTS.ticketsPerUser, total: DEFAULTS.tickets })
  /**
   * denials that this node has heard of, with their ends: they hold here whatever the adapter's server says, which may
   * have lost them
   */
  readonly #denied: Remembered<Denied>
  readonly #denials: Retention

  constructor (options: AuthOptions) {
    this.#options = options
    this.#denials = new Retention(options.remembered)
    this.#denied = new Remembered(this.#denials)
  }

  /** The first credential found, in the order of the carriers. */
  find (
    request: FastifyRequest,
    carriers: readonly Carrier[] = this.#options.settings.carriers
  ): Credential | undefined {
    for (const carrier of carriers) {
      const token = this.#read(request, carrier)
      if (token !== undefined) return { carrier, token }
    }
    return undefined
  }

  /** For what takes no tickets: one that opens a connection is not to be spent on it. */
  findLasting (request: FastifyRequest): Credential | undefined {
    return this.find(request, this.#options.settings.carriers.filter((carrier) => carrier !== 'ticket'))
  }

  /**
   * Whether it is one that a browser adds by itself (a cookie, or whatever `authenticate` finds without a token), so
   * that silence is no consent.
   */
  isAmbient (credential: Credential | undefined): boolean {
    return credential === undefined ? this.#options.authenticate !== undefined : credential.carrier === 'cookie'
  }

  #read (request: FastifyRequest, carrier: Carrier): string | undefined {
    switch (carrier) {
      case 'header': {
        const { authorization } = request.headers
        if (authorization === undefined) return undefined
        return /^Bearer +(\S+) *$/i.exec(authorization)?.[1] ?? ''
      }
      case 'subprotocol': return bearerOf(offeredProtocols(request))
      case 'ticket': return this.#options.queryOf(request).ticket
      case 'query': return this.#options.queryOf(request).token
      case 'cookie': return cookieOf(request, this.#options.settings.cookie!)
    }
  }

  /**
   * @throws Refusal `unauthorized`, `token_expired`, `revoked`, or `unavailable` when authentication itself fails
   */
  identify (request: FastifyRequest, credential: Credential | undefined): Awaitable<Identity> {
    const identity = credential?.carrier === 'ticket'
      ? this.#redeem(credential.token)
      : this.#verify(request, credential?.token)
    return identity instanceof Promise ? identity.then((found) => this.#undenied(found)) : this.#undenied(identity)
  }

  #undenied (identity: Identity): Awaitable<Identity> {
    const checked = this.checkDenied(identity)
    return checked instanceof Promise ? checked.then(() => identity) : identity
  }

  #verify (request: FastifyRequest, token: string | undefined): Awaitable<Identity> {
    const { authenticate, timeout, verifyJwt } = this.#options
    if (token === '' || (token === undefined && authenticate === undefined)) {
      const { carriers } = this.#options.settings
      throw new Refusal('unauthorized', {
        why: {
          reason: token === '' ? 'the header authorization is not "Bearer <token>"' : 'no credential was found',
          carriers
        }
      })
    }
    const found = authenticate === undefined
      ? verifyJwt(request, token!)
      : callOut(() => authenticate(request, token), token)
    // A secret may be fetched: from a server of keys that is away.
    return found instanceof Promise ? within(timeout, found).then((user) => this.#named(user)) : this.#named(found)
  }

  #named (user: unknown): Awaitable<Identity> {
    const { userId: idOf } = this.#options
    if (user === null || user === undefined) {
      throw new Refusal('unauthorized', { why: { reason: `authenticate returned ${String(user)}` } })
    }
    const claims = (typeof user === 'object' ? user : {}) as Claims
    return idOf === undefined
      ? this.#checked(user, claims, claims.sub)
      : callOut(() => idOf(user as User)).then((userId) => this.#checked(user, claims, userId))
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
    } else if (exp * 1_000 + DEFAULTS.tolerance <= Date.now()) throw new Refusal('token_expired')
    return {
      user,
      userId,
      ...(typeof exp === 'number' ? { exp } : {}),
      ...(typeof jti === 'string' ? { tokenId: jti } : {})
    }
  }

  /** @throws Refusal `revoked` */
  checkDenied ({ userId, tokenId }: Identity): Awaitable<void> {
    const { denials } = this.#options
    if (denials === undefined) return
    const subjects = tokenId === undefined
      ? [keyOfKind('user', userId)]
      : [keyOfKind('user', userId), keyOfKind('token', tokenId)]
    const now = Date.now()
    if (subjects.some((subject) => this.#denied.get(subject, now) !== undefined)) throw new Refusal('revoked')
    const found = denials.isDenied(subjects)
    return found instanceof Promise
      ? found.catch((error: unknown) => this.#unasked(error)).then(refuseDenied)
      : refuseDenied(found)
  }

  #unasked (error: unknown): boolean {
    if (this.#options.whenUnavailable === 'refuse') throw error
    return false
  }

  /**
   * A one-use ticket for the bearer of another credential.
   *
   * @param spend throws when the user asks too often
   */
  async issueTicket (
    request: FastifyRequest,
    spend: (userId: string) => void
  ): Promise<{ ticket: string, expires: number }> {
    const { settings, claims, revocations } = this.#options
    const since = revocations.moment
    if (claims === undefined) throw new Refusal('unavailable', { message: 'this server keeps no tickets' })
    const credential = this.findLasting(request)
    const identity = await this.identify(request, credential)
    spend(identity.userId)
    const value = JSON.stringify(identity)
    const now = performance.now()
    const wait = this.#open.wait(identity.userId, now)
    if (wait > 0) throw new Refusal('rate_limited', { message: 'too many open tickets', retryAfter: wait })
    const ticket = randomBytes(24).toString('base64url')
    this.#open.add(identity.userId, ticket, now + settings.ticket)
    try {
      await claims.put(keyOfKind('ticket', ticket), value, settings.ticket)
    } catch (error) {
      this.#open.spend(ticket)
      throw error
    }
    revocations.check(since, identity)
    return { ticket, expires: Date.now() + settings.ticket }
  }

  /** The identity behind a ticket that a connection sends to refresh itself. @throws Refusal */
  async redeem (ticket: string): Promise<Identity> {
    const identity = await this.#redeem(ticket)
    await this.checkDenied(identity)
    return identity
  }

  async #redeem (ticket: string): Promise<Identity> {
    const value = await this.#options.claims?.take(keyOfKind('ticket', ticket))
    if (value === undefined) throw new Refusal('unauthorized', { message: 'the ticket is spent, expired or unknown' })
    this.#open.spend(ticket)
    const identity = parseIdentity(value)
    if (identity === undefined) throw new Refusal('unauthorized', { message: 'the ticket cannot be read by this node' })
    if (isExpired(identity.exp)) throw new Refusal('token_expired')
    return identity
  }

  /** Who the app itself found behind a request, by @fastify/jwt's `request.user`; `undefined` when it did not look. */
  userIdOf ({ user }: FastifyRequest): string | undefined {
    if (typeof user !== 'object' || user === null) return undefined
    const id: unknown = this.#options.userId === undefined
      ? (user as { sub?: unknown }).sub
      : this.#options.userId(user as User)
    return typeof id === 'string' ? id : undefined
  }

  /** Keeps users or tokens out from now on. @param until Unix milliseconds */
  async deny (subject: string, until: number): Promise<void> {
    const { denials } = this.#options
    if (denials === undefined) {
      throw new REALTIME_ERR_ADAPTER(
        'this adapter keeps no denials: revoke cannot keep anybody out; use the memory or redis adapter'
      )
    }
    // Over already: there is nothing to be kept.
    if (until <= Date.now()) return
    await denials.deny(subject, until)
    this.remember(subject, until)
  }

  /** A denial that is kept by the adapter. @param until Unix milliseconds */
  remember (subject: string, until: number): void {
    const now = Date.now()
    this.#denials.sweep(now, SWEEP)
    if (until <= (this.#denied.get(subject, now)?.until ?? now)) return
    const { evicted } = this.#denials
    // Each is its own owner: they end at different times.
    this.#denied.set(subject, subject, { subject, until }, 0, until, now)
    if (this.#denials.evicted > evicted) this.#options.onForgotten?.()
  }

  /** Tells an adapter whose server has lost its data of what this node remembers. */
  async restore (): Promise<void> {
    for (const { subject, until } of this.#denied.values(Date.now())) await this.#options.denials?.deny(subject, until)
  }
}

function bearerOf (offered: readonly string[]): string | undefined {
  for (const name of offered) {
    if (name.startsWith(BEARER)) return name.slice(BEARER.length)
    if (name.startsWith(BEARER_64)) return Buffer.from(name.slice(BEARER_64.length), 'base64url').toString()
  }
  return undefined
}

/** The identity behind a ticket, as perhaps another version of this package stored it. */
function parseIdentity (text: string): Identity | undefined {
  const value = parseJson(text)
  if (!isFields(value)) return undefined
  const { user, userId, exp, tokenId } = value
  if (typeof userId !== 'string' || userRoom(userId) === undefined || (exp !== undefined && typeof exp !== 'number') ||
    (tokenId !== undefined && typeof tokenId !== 'string')) {
    return undefined
  }
  return { user, userId, ...(exp === undefined ? {} : { exp }), ...(tokenId === undefined ? {} : { tokenId }) }
}

/** @param exp Unix seconds, as in a JWT */
export function isExpired (exp: number | undefined): boolean {
  return exp !== undefined && exp * 1_000 + DEFAULTS.tolerance <= Date.now()
}

/** What the application throws while it authenticates: a 4xx is 401, anything else is ours to be sorry for. */
async function callOut<T> (step: () => T | Promise<T>, token?: string): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (error instanceof Refusal) throw error
    const status = (error as { statusCode?: unknown } | null)?.statusCode
    if (typeof status === 'number' && status >= 400 && status < 500) {
      throw new Refusal('unauthorized', saidBy(error, token))
    }
    throw Object.assign(new Refusal('unavailable', { message: 'authentication is not available', retryAfter: 1_000 }), {
      cause: error ?? new Error(`${String(error)} was thrown`)
    })
  }
}

async function within<T> (timeout: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = after(
      () => { reject(new Refusal('unavailable', { message: 'authentication takes too long', retryAfter: 1_000 })) },
      timeout
    )
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
    work.catch(() => undefined)
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

/** What the server selects: never a token, wherever it stands in the list. */
export function selectProtocol (offered: Iterable<string>): string | false {
  for (const name of offered) if (name === PROTOCOL) return PROTOCOL
  return false
}
