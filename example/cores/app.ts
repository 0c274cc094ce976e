import { Type } from '@sinclair/typebox'
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import realtime from 'fastify-realtime'
import { cluster } from 'fastify-realtime/cluster'
import { defineRoom } from 'fastify-realtime/contract'

const Text = Type.String({ minLength: 1, maxLength: 2000 })

/** `worker`: the process that took the message, so that one can see events cross from one to the other. */
const chat = defineRoom('chat/:id', {
  messages: { say: { data: Type.Object({ text: Text }), reply: Type.Object({ worker: Type.Integer() }) } },
  events: { said: Type.Object({ text: Text, by: Type.String(), worker: Type.Integer() }) }
})

/** seconds */
const TOKEN_LIFE = 3600

const app = Fastify({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })

await app.register(realtime, {
  // The same in all workers: what one has signed the others accept.
  jwt: { secret: process.env.JWT_SECRET ?? 'only for this example' },
  adapter: cluster(),
  drain: { timeout: 5_000 }
})

app.room(chat, { // no `authorize`: every signed-in user may join
  presence: true,
  on: {
    async say ({ data, userId, room }) {
      await room.broadcast('said', { text: data.text, by: userId, worker: process.pid })
      return { worker: process.pid }
    }
  }
})

// A demo: whoever gives a name is that user.
app.post<{ Params: { name: string } }>(
  '/token/:name',
  async ({ params }) => app.jwt.sign({ sub: params.name }, { expiresIn: TOKEN_LIFE })
)

closeWithGrace({ delay: 10_000 }, async ({ err }) => {
  if (err !== undefined) app.log.error(err)
  await app.rooms.drain()
  await app.close()
})

const url = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
console.log(`worker ${process.pid} serves ${url}`)
