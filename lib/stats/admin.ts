import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { Refusal } from '../errors/refusal.js'
import type { User } from '../types/user.js'

export interface AdminOptions {
  /** Static bearer token for scrapers. */
  readonly token: string | undefined
  readonly authorize: ((user: User, request: FastifyRequest) => boolean | Promise<boolean>) | undefined
  /** Returns the user who asks; throws a Refusal. */
  readonly authenticate: (request: FastifyRequest) => Promise<unknown>
}

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
  authenticate
}: AdminOptions): (request: FastifyRequest) => Promise<AdminCaller> {
  const expected = token === undefined ? undefined : digest(token)
  return async (request) => {
    const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1]
    if (expected !== undefined && bearer !== undefined && timingSafeEqual(digest(bearer), expected)) {
      return { isScraper: true }
    }
    const user = await authenticate(request)
    const isAdmin = authorize === undefined
      ? (user as { role?: unknown } | null)?.role === 'admin'
      : await authorize(user as User, request) === true
    if (!isAdmin) throw new Refusal('forbidden', { message: 'only for admins', why: { fix: ADMINS } })
    return { isScraper: false }
  }
}
