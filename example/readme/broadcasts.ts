import type { FastifyInstance } from 'fastify'
import { everyone, game, inbox } from './rooms.js'

export function declareRoutes (app: FastifyInstance): void {
  app.post<{ Params: { id: string } }>('/orders/:id/ship', async ({ params }, reply) => {
    const order = await ship(params.id)                                    // throws: nobody is told
    reply.broadcast(inbox.at({ id: order.owner }), 'shipped', { order: order.id })   // goes out with the 2xx
    return order
  })

  app.post<{ Body: { text: string } }>('/notices', async ({ body }) => {
    const { recipients } = await app.rooms.broadcast(everyone, 'notice', { text: body.text })
    return { recipients }                                                  // on this node
  })

  app.get<{ Params: { id: string } }>(
    '/games/:id/players',
    async ({ params }) => await app.rooms.members(game.at(params))
  )

  app.delete<{ Params: { id: string } }>('/users/:id', async ({ params }) => {
    // closes with a final code and keeps out for an hour
    await app.rooms.revoke({ user: params.id })
    return {}
  })
}

declare function ship (id: string): Promise<{ id: string, owner: string }>
