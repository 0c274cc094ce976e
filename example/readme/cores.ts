import Fastify from 'fastify'
import realtime from 'fastify-realtime'
import { cluster } from 'fastify-realtime/cluster'

const app = Fastify()
await app.register(realtime, {
  jwt: { secret: process.env.JWT_SECRET ?? 'change me' },
  adapter: cluster()
})
