import { createHash, randomBytes, randomUUID } from 'node:crypto'
import cookie from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import 'fastify-realtime'

/** Your database. */
export interface Guests {
  add (hash: string, sub: string): Promise<void>
  /** The id of the guest of a secret, by its hash. */
  find (hash: string): Promise<string | undefined>
}

const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex')

/** A token of five minutes for the guest of this browser. The first call makes the guest. */
export async function declareGuests (app: FastifyInstance, guests: Guests): Promise<void> {
  await app.register(cookie)
  app.post('/guest/token', async ({ cookies }, reply) => {
    let sub = cookies.guest === undefined ? undefined : await guests.find(hashOf(cookies.guest))
    if (sub === undefined) {
      const secret = randomBytes(32).toString('base64url')
      sub = `guest-${randomUUID()}`
      await guests.add(hashOf(secret), sub)
      const maxAge = 30 * 24 * 3_600                      // seconds
      reply.setCookie('guest', secret, { path: '/guest', httpOnly: true, secure: true, sameSite: 'lax', maxAge })
    }
    return { token: app.jwt.sign({ sub, name: 'Guest', rooms: [], role: 'guest' }, { expiresIn: '5m' }) }
  })
}
