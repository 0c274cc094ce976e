import Fastify from 'fastify'
import realtime from 'fastify-realtime'
import { redis } from 'fastify-realtime/redis'

const app = Fastify()
await app.register(realtime, {
  jwt: { secret: process.env.JWT_SECRET ?? 'change me' },
  adapter: redis({ url: 'redis://127.0.0.1:6379' })
})
