import Fastify, { type FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { declareGames } from './handlers.js'

export async function build (): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  await app.register(realtime, { jwt: { secret: 'only for tests' } })
  declareGames(app)
  return app
}
