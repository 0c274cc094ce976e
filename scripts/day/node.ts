/** One node of the cluster of `day-in-the-life.ts`, started with the URL of its Redis. Its log is its output. */
import Fastify from 'fastify'
import closeWithGrace from 'close-with-grace'
import { Type } from '@sinclair/typebox'
import { redis } from '../../lib/adapters/redis/index.js'
import realtime, { defineRoom } from '../../lib/index.js'

export const chat = defineRoom('chat/:id', {
  messages: { say: Type.Object({ text: Type.String({ maxLength: 1_000 }) }) },
  events: { said: Type.Object({ text: Type.String() }) }
})

const [, , url] = process.argv
if (url !== undefined) {
  const app = Fastify({ logger: true })
  await app.register(realtime, {
    jwt: { secret: 'a day' },
    adapter: redis({ url, timeout: 500, historyBytes: 262_144 }),
    stats: { token: 'a-token-for-the-day' },
    limits: { outbox: 100_000, event: 65_536, user: { connections: 100, then: 'reject' } },
    drain: { rate: 2, timeout: 5_000 }
  })
  app.room(chat, {
    capacity: 10,
    on: { say: async ({ data, room }) => { await room.broadcast('said', { text: data.text }) } }
  })
  app.post('/say/:room', async ({ params, query }) => {
    const { room } = params as { room: string }
    const { bytes = '1' } = query as { bytes?: string }
    await app.rooms.broadcast(`chat/${room}`, 'said', { text: 'x'.repeat(Number(bytes)) })
    return {}
  })
  app.post('/block', async () => {
    const until = performance.now() + 1_500
    while (performance.now() < until) { /** What an application should not do. */ }
    return {}
  })
  closeWithGrace({ delay: 10_000 }, async () => {
    await app.rooms.drain()
    await app.close()
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  process.send?.({ port: (app.server.address() as { port: number }).port })
}
