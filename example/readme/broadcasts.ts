import type { FastifyInstance, FastifyRequest } from 'fastify'
import { everyone, game, inbox } from './rooms.js'

/** `app.rooms` asks nobody's leave: who may call is for the route to say. */
const staff = {
  onRequest: async (request: FastifyRequest) => {
    await request.jwtVerify()
    if ((request.user as { role?: string }).role !== 'staff') {
      throw Object.assign(new Error('for the staff alone'), { statusCode: 403 })
    }
  }
}

export function declareRoutes (app: FastifyInstance): void {
  app.post<{ Params: { id: string } }>('/orders/:id/ship', staff, async ({ params }, reply) => {
    const order = await ship(params.id)                                    // throws: nobody is told
    reply.broadcast(inbox.at({ id: order.owner }), 'shipped', { order: order.id })   // goes out with the 2xx
    return order
  })

  app.post<{ Body: { text: string } }>('/notices', staff, async ({ body }) => {
    const { recipients } = await app.rooms.broadcast(everyone, 'notice', { text: body.text })
    return { recipients }                                                  // on this node
  })

  app.get<{ Params: { id: string } }>(
    '/games/:id/players', staff,
    async ({ params }) => await app.rooms.members(game.at(params))
  )

  app.delete<{ Params: { id: string } }>('/users/:id', staff, async ({ params }) => {
    // closes with a final code and keeps out for an hour
    await app.rooms.revoke({ user: params.id })
    return {}
  })
}

declare function ship (id: string): Promise<{ id: string, owner: string }>
