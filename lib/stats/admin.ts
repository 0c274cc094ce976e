import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { Refusal } from '../errors/refusal.js'
import type { User } from '../types/user.js'

export interface AdminOptions {
  /** static bearer for scrapers */
  readonly token: string | undefined
  readonly authorize: ((user: User, request: FastifyRequest) => boolean | Promise<boolean>) | undefined
  /** who asks; throws a Refusal */
  readonly authenticate: (request: FastifyRequest) => Promise<unknown>
}

function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/**
 * Who may read the stats: the static token, else a user that `authorize` lets in, by default one whose `role` is
 * `admin`.
 */
export function createAdmin ({
  token,
  authorize,
  authenticate
}: AdminOptions): (request: FastifyRequest) => Promise<void> {
  const expected = token === undefined ? undefined : digest(token)
  return async (request) => {
    const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1]
    if (expected !== undefined && bearer !== undefined && timingSafeEqual(digest(bearer), expected)) return
    const user = await authenticate(request)
    const isAdmin = authorize === undefined
      ? (user as { role?: unknown } | null)?.role === 'admin'
      : await authorize(user as User, request) === true
    if (!isAdmin) throw new Refusal('forbidden', { message: 'only for admins' })
  }
}
