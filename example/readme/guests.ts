import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { object, string } from 'fastify-realtime/contract'
import './types.js'

export const match = defineRoom('match/:id', {
  messages: { cheer: object({}) },
  events: {
    goal: object({ team: string() }),
    cheered: { data: object({ by: string() }), delivery: 'volatile' }
  }
})

export async function build (): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  await app.register(realtime, {
    jwt: { secret: process.env.JWT_SECRET ?? 'at least 32 characters, please change' },
    capacity: 20_000,
    limits: {
      user: { connections: 5, then: 'reject' },
      // A guest costs nothing to make, so an address is what can be limited.
      address: 50,
      rate: { messages: 5, burst: 20 }
    }
  })

  // A guest is a user whose id nobody else knows. Limit this route as you limit others (@fastify/rate-limit).
  app.post('/guest', async () => {
    const sub = `guest-${randomUUID()}`
    return { token: app.jwt.sign({ sub, name: 'Guest', rooms: [], role: 'guest' }, { expiresIn: '1h' }) }
  })

  app.room(match, { // no `authorize`: every signed-in user may join
    on: {
      async cheer ({ user, userId, room }) {
        if (user.role === 'guest') {
          throw Object.assign(new Error('log in to cheer'), { statusCode: 403, code: 'guests_only_watch' })
        }
        await room.broadcast('cheered', { by: userId })
      }
    }
  })
  return app
}
