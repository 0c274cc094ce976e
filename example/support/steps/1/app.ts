import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'

// #region contract
/** One conversation; its name has the customer's. */
const conversation = defineRoom('conversations/:customer', {
  messages: {                                            // from a page to the server
    say: Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000 }) })
  },
  events: {                                              // from the server to the pages
    said: Type.Object({ text: Type.String(), by: Type.String() })
  }
})
// #endregion

const app = Fastify({ logger: { level: 'warn' } })
await app.register(realtime, { jwt: { secret: process.env.JWT_SECRET ?? randomBytes(32).toString('hex') } })

// #region room
app.room(conversation, { // no `authorize`: every signed-in user may join
  on: {
    async say ({ data, userId, room }) {
      await room.broadcast('said', { text: data.text, by: userId })
    }
  }
})
// #endregion

// #region routes
// Whoever gives a name gets a token. Step 2 asks for more.
app.get<{ Querystring: { name: string } }>('/token', async ({ query }) =>
  app.jwt.sign({ sub: query.name }, { expiresIn: '5m' }))

app.get('/', async (_request, reply) =>
  await reply.type('text/html').send(await readFile(new URL('page.html', import.meta.url))))

const url = await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' })
console.log(`The support chat is at ${url}/?name=ada, and once more at ${url}/?name=grace`)
// #endregion
