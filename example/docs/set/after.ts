import Fastify, { type FastifyInstance } from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { object, string } from 'fastify-realtime/contract'

export const chat = defineRoom('chat/:id', {
  messages: { say: object({ text: string({ minLength: 1, maxLength: 2_000 }) }) },
  events: { said: object({ text: string(), by: string() }) }
})

export async function build (): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  await app.register(realtime, { jwt: { secret: process.env.JWT_SECRET ?? 'at least 32 characters, please change' } })
  app.room(chat, {
    on: {
      async say ({ data, userId, room }) { await room.broadcast('said', { text: data.text, by: userId }) }
    }
  })
  return app
}
