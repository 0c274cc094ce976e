import Fastify, { type FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { chat } from './rooms.js'

export async function build (): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  await app.register(realtime, { jwt: { secret: process.env.JWT_SECRET ?? 'at least 32 characters, please change' } })
  app.room(chat, { // no `authorize`: every signed-in user may join
    on: {
      async say ({ data, userId, room }) { await room.broadcast('said', { text: data.text, by: userId }) }
    }
  })
  return app
}
