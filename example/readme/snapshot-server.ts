import Fastify from 'fastify'
import { game } from './rooms.js'

const games = new Map([['42', { id: '42', turn: 7 }]])
const app = Fastify()
app.get('/games/:id', async (request, reply) => {
  const { id } = request.params as { id: string }
  await reply.position(game.at({ id }))    // before the state is read: what is published meanwhile is in both
  return games.get(id)
})
