import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { object, string } from 'fastify-realtime/contract'

const chat = defineRoom('chat/:id', {
  messages: { say: object({ text: string({ minLength: 1, maxLength: 2_000 }) }) },
  events: { said: object({ text: string(), by: string() }) }
})

export async function build (): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  await app.register(realtime, { jwt: { secret: randomUUID() } })
  app.room(chat, { // no `authorize`: every signed-in user may join
    on: {
      async say ({ data, userId, room }) { await room.broadcast('said', { text: data.text, by: userId }) }
    }
  })

  const page = await readFile(new URL('index.html', import.meta.url))
  app.get('/', async (_request, reply) => await reply.type('text/html; charset=utf-8').send(page))
  app.post('/token', async () => {
    return { token: app.jwt.sign({ sub: `guest-${randomUUID()}`, name: 'Guest', rooms: [] }, { expiresIn: '5m' }) }
  })
  return app
}
