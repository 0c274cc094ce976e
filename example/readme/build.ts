import { randomBytes } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { declareGames } from './handlers.js'

export async function build (): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  await app.register(realtime, { jwt: { secret: process.env.JWT_SECRET ?? randomBytes(32).toString('hex') } })
  declareGames(app)
  return app
}
