// 2. notifications to one user from REST handlers
import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import realtime, { defineRoom } from '../../lib/index.js'
import { connect } from '../../lib/client/index.js'

export const inbox = defineRoom('@user/:id', {                     // every connection of the user is a member from the start
  events: { shipped: Type.Object({ order: Type.String() }) }
})
const app = Fastify()
await app.register(realtime, { jwt: { secret: 'x' } })
app.room(inbox)

app.post<{ Params: { id: string } }>('/orders/:id/ship', async (request, reply) => {
  const order = await ship(request.params.id)                      // throws: nobody is told
  reply.broadcast(inbox.at({ id: order.owner }), 'shipped', { order: order.id })   // goes out after the 2xx
  return order
})
setInterval(() => {                                                // outside a request
  app.rooms.sendToUser('ada', 'shipped', { order: '7' }).catch(app.log.error)
}, 60_000)

export function badge (me: string, token: () => Promise<string>) {
  return connect('/ws', { token }).join(inbox.at({ id: me }), { last: 20 }).on('shipped', ({ data }) => alert(data.order))
}
declare function ship (id: string): Promise<{ id: string, owner: string }>
