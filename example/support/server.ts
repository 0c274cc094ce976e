import { randomBytes } from 'node:crypto'
import closeWithGrace from 'close-with-grace'
import { redis } from 'fastify-realtime/redis'
import { buildApp } from './app.js'
import { openMessages } from './database.js'

const { DATABASE, JWT_SECRET, LOG_LEVEL, PORT, REDIS_URL } = process.env

const app = await buildApp({
  messages: openMessages(DATABASE ?? 'support.db'),
  realtime: {
    // Without a secret of its own, a server that starts again lets nobody in who was logged in before.
    jwt: { secret: JWT_SECRET ?? randomBytes(32).toString('hex') },
    // With it there may be any number of servers.
    ...(REDIS_URL === undefined ? {} : { adapter: redis({ url: REDIS_URL }) })
  },
  fastify: { logger: { level: LOG_LEVEL ?? 'warn' } }
})

closeWithGrace({ delay: 30_000 }, async ({ err }) => {
  if (err !== undefined) app.log.error(err)
  await app.rooms.drain()
  await app.close()
})

const url = await app.listen({ host: '127.0.0.1', port: Number(PORT ?? 3000) })
console.log(`The support chat is at ${url}/ (ada's password is engine, and grace's is sesame)`)
