import { randomBytes } from 'node:crypto'
import type { ClaimStore } from '../adapters/adapter.js'
import { isFields, parseJson } from '../adapters/broker/stored.js'
import type { Identity } from '../connection/identity.js'
import { Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import { keyOfKind } from '../protocol/key.js'
import { isExpired } from './expiry.js'
import { OpenTickets } from './open-tickets.js'
import { userRoom } from '../rooms/built-in.js'

const FRESH = 'a ticket opens one connection, within auth.ticket.ttl: take a new one for each try'
const OPEN = `at most ${DEFAULTS.ticketsPerUser} tickets of a user are open at once, and no option raises it: take one only to connect, or lower auth.ticket.ttl`

/** The ticket as a client gets it. */
export interface Ticket {
  readonly ticket: string
  /** Unix milliseconds. */
  readonly expires: number
}

/** Credentials for one use, which any node redeems: the adapter keeps the identity behind each of them. */
export class Tickets {
  readonly #claims: ClaimStore | undefined
  readonly #ttl: number
  readonly #open = new OpenTickets({ perUser: DEFAULTS.ticketsPerUser, total: DEFAULTS.tickets })

  /**
   * @param claims absent where the adapter keeps none: then no ticket can be issued
   * @param ttl milliseconds within which a ticket has to be used
   */
  constructor (claims: ClaimStore | undefined, ttl: number) {
    this.#claims = claims
    this.#ttl = ttl
  }

  /** @throws Refusal `unavailable` where no ticket can be issued */
  check (): ClaimStore {
    if (this.#claims === undefined) {
      throw new Refusal('unavailable', {
        message: 'this server keeps no tickets',
        why: { fix: 'the adapter keeps no claims: use one that does, or another carrier of auth.carriers' }
      })
    }
    return this.#claims
  }

  /** @throws Refusal `rate_limited` while the user, or the node, has too many open tickets */
  async issue (identity: Identity): Promise<Ticket> {
    const claims = this.check()
    const value = JSON.stringify(identity)
    const now = performance.now()
    const wait = this.#open.wait(identity.userId, now)
    if (wait > 0) {
      throw new Refusal('rate_limited', { message: 'too many open tickets', retryAfter: wait, why: { fix: OPEN } })
    }
    const ticket = randomBytes(24).toString('base64url')
    this.#open.add(identity.userId, ticket, now + this.#ttl)
    try {
      await claims.put(keyOfKind('ticket', ticket), value, this.#ttl)
    } catch (error) {
      this.#open.spend(ticket)
      throw error
    }
    return { ticket, expires: Date.now() + this.#ttl }
  }

  /**
   * Returns the identity behind a ticket, once.
   *
   * @throws Refusal `unauthorized` or `token_expired`
   */
  async redeem (ticket: string): Promise<Identity> {
    const value = await this.#claims?.take(keyOfKind('ticket', ticket))
    if (value === undefined) {
      throw new Refusal('unauthorized', { message: 'the ticket is spent, expired or unknown', why: { fix: FRESH } })
    }
    this.#open.spend(ticket)
    const identity = parseIdentity(value)
    if (identity === undefined) {
      throw new Refusal('unauthorized', {
        message: 'the ticket cannot be read by this node',
        why: { fix: 'run one version of this plugin on all nodes, and take a new ticket' }
      })
    }
    if (isExpired(identity.exp)) throw new Refusal('token_expired')
    return identity
  }
}

/** Reads the identity behind a ticket, which another version of this package may have stored. */
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
