import Fastify from 'fastify'
import realtime from 'fastify-realtime'
import './types.js'

const app = Fastify()
await app.register(realtime, {
  // `null`, or an error with a 4xx statusCode: 401. Any other error: 503 `unavailable`.
  authenticate: async (_request, token) => token === undefined ? null : await findUser(token),
  userId: (user) => user.sub,
  auth: { requireExp: false }
})

declare function findUser (token: string): Promise<{ sub: string, name: string, rooms: string[] } | null>
