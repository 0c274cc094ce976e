import closeWithGrace from 'close-with-grace'
import { buildApp } from './app.js'

const app = await buildApp({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })

closeWithGrace({ delay: 30_000 }, async ({ err }) => {
  if (err !== undefined) app.log.error(err)
  // First the rooms: while the app closes, Fastify answers every plain request with 503, polls and messages by POST
  // among them.
  await app.rooms.drain()
  await app.close()
})

const url = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
console.log(`The chat is at ${url}/ (open it in two tabs)`)
