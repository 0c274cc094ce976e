import { Type, type Static } from '@sinclair/typebox'
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import realtime from 'fastify-realtime'
import { redis } from 'fastify-realtime/redis'
import { chat } from './rooms.js'

const Line = Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000 }) })
/** seconds */
const TOKEN_LIFE = 3600

const app = Fastify({
  logger: { level: process.env.LOG_LEVEL ?? 'warn' },
  // nginx, and nobody else, may say whom it asks for.
  trustProxy: '127.0.0.1'
})
const address = (): string => {
  const { address, port } = app.server.address() as AddressInfo
  return `${address}:${port}`
}

await app.register(realtime, {
  // The same on every node: what one has signed the others accept.
  jwt: { secret: process.env.JWT_SECRET! },
  adapter: redis({ url: process.env.REDIS_URL! }),
  drain: { timeout: 5_000 }
})

app.room(chat, { // no `authorize`: every signed-in user may join
  on: {
    async say ({ data, userId, room }) {
      await room.broadcast('said', { text: data.text, by: userId, node: address() })
      return { node: address() }
    }
  }
})

// A demo: whoever gives a name is that user.
app.post<{ Params: { name: string } }>(
  '/token/:name',
  async ({ params }) => app.jwt.sign({ sub: params.name }, { expiresIn: TOKEN_LIFE })
)

// An ordinary REST route; whoever listens may be connected to another node.
app.post<{ Params: { id: string }, Body: Static<typeof Line> }>('/rooms/:id', {
  schema: { body: Line },
  onRequest: async (request) => { await request.jwtVerify() }
}, async ({ params, body, user }) => {
  const { sub } = user as { sub: string }
  const { position } = await app.rooms.broadcast(chat.at(params), 'said', { text: body.text, by: sub, node: address() })
  return { node: address(), offset: position?.offset }
})

closeWithGrace({ delay: 10_000 }, async ({ err }) => {
  if (err !== undefined) app.log.error(err)
  await app.rooms.drain()
  await app.close()
})
// A parent that died without a word could not end its nodes.
process.on('disconnect', () => { process.exit() })

await app.listen({ host: '127.0.0.1', port: 0 })
process.send?.(address())
