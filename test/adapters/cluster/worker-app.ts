import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import { cluster } from '../../../lib/adapters/cluster/index.js'
import realtime, { defineRoom } from '../../../lib/index.js'

export const SECRET = 'workers'

export const chat = defineRoom('chat/:id', {
  messages: { say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({}) } },
  events: { said: Type.Object({ text: Type.String() }) }
})

/** The app that each worker has, on a port of its own. */
export async function serve (): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(realtime, {
    jwt: { secret: SECRET },
    adapter: cluster(),
    limits: { user: { connections: 2, then: 'reject' } }
  })
  app.room(chat, {
    presence: true,
    on: {
      async say ({ data, room }) {
        await room.broadcast('said', { text: data.text })
        return {}
      }
    }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}
