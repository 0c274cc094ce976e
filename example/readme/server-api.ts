import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'

export const orders = defineRoom('orders/:id', {
  events: {
    created: Type.Object({ n: Type.Integer() }),
    note: Type.Object({ text: Type.String() })
  }
})

const app = Fastify()
await app.register(realtime, {
  jwt: { secret: process.env.JWT_SECRET! },
  api: {
    keys: [
      { key: process.env.SHOP_KEY!, name: 'shop', rooms: ['orders/*'], may: ['publish'] },
      { key: process.env.DESK_KEY!, name: 'desk', rooms: ['*'], may: ['read', 'members', 'revoke'] }
    ]
  }
})
app.room(orders, { authorize: ({ userId, params }) => userId === params.id })   // of users; a key has its `rooms`
