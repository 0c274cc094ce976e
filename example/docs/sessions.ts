import Fastify, { type FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'

/** A session as your store keeps it, by the id that is the value of the cookie. */
export interface Session { readonly user: string, readonly name: string, readonly ends: number }

export async function build (sessions: Map<string, Session>): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  await app.register(realtime, {
    auth: { carriers: ['cookie'], cookie: 'sid' },
    origins: 'same',
    async authenticate (_request, id) {
      const session = id === undefined ? undefined : sessions.get(id)
      if (session === undefined) return null            // 401
      // At `exp` (in seconds) the connection ends, and the page comes back with its cookie.
      return { sub: session.user, name: session.name, rooms: [], exp: session.ends / 1_000 }
    }
  })
  return app
}
