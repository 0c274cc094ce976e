import Fastify from 'fastify'
import { game } from './rooms.js'

const games = new Map([['42', { id: '42', turn: 7 }]])
const app = Fastify()
app.get<{ Params: { id: string } }>('/games/:id', {
  onRequest: async (request) => { await request.jwtVerify() }
}, async ({ params: { id }, user }, reply) => {
  // What the room asks in `authorize`: a route does not ask it.
  if (!(user as { rooms: string[] }).rooms.includes(id)) return await reply.code(403).send()
  await reply.position(game.at({ id }))    // before the state is read: what is published meanwhile is in both
  return games.get(id)
})
