import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { redacting } from '../errors/redact.js'
import { Refusal } from '../errors/refusal.js'
import { within } from '../structures/within.js'
import type { User } from '../types/user.js'

export interface AdminOptions {
  /** Static bearer token for scrapers. */
  readonly token: string | undefined
  readonly authorize: ((user: User, request: FastifyRequest) => boolean | Promise<boolean>) | undefined
  /** Milliseconds that it may take. */
  readonly timeout: number
  /** Returns the user who asks; throws a Refusal. */
  readonly authenticate: (request: FastifyRequest) => Promise<unknown>
}

const SCRAPER = 'a scraper sends the value of stats.token as Authorization: Bearer; others a credential of a user whom stats.authorize lets in'
const NO_SCRAPER = `set stats.token, which is not set: ${SCRAPER}`
const ADMINS = 'stats.authorize decides who may look; without it a user whose role is admin, and whoever has stats.token'

function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Who was let in: an admin, or a scraper, who may see figures and do nothing. */
export interface AdminCaller {
  readonly isScraper: boolean
  readonly userId?: string | undefined
}

/**
 * Makes the check for who may read the stats: a request with the static token, or a user whom `authorize` lets in.
 * Without `authorize` that is a user whose `role` is `admin`.
 */
export function createAdmin ({
  token,
  authorize,
  timeout,
  authenticate
}: AdminOptions): (request: FastifyRequest) => Promise<AdminCaller> {
  const expected = token === undefined ? undefined : digest(token)
  return async (request) => {
    const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1]
    if (expected !== undefined && bearer !== undefined && timingSafeEqual(digest(bearer), expected)) {
      return { isScraper: true }
    }
    const user = await known(authenticate(request), expected === undefined ? NO_SCRAPER : SCRAPER)
    const answer: unknown = authorize === undefined
      ? (user as { role?: unknown } | null)?.role === 'admin'
      : await within(timeout, Promise.resolve(redacting(request, () => authorize(user as User, request))), tooLate)
    if (answer !== true) throw new Refusal('forbidden', { message: 'only for admins', why: { fix: ADMINS } })
    return { isScraper: false }
  }
}

/** Awaits who asks. What helps an unknown one is other than where users connect: most who ask here are scrapers. */
async function known (user: Promise<unknown>, fix: string): Promise<unknown> {
  try {
    return await user
  } catch (error) {
    if (!(error instanceof Refusal) || error.word !== 'unauthorized') throw error
    const { data: { message, retryAfter }, why, cause } = error
    throw new Refusal('unauthorized', { message, retryAfter, cause, why: { ...why, fix } })
  }
}

function tooLate (): Refusal {
  return new Refusal('unavailable', { retryAfter: 1_000, cause: new Error('options.stats.authorize took too long') })
}
