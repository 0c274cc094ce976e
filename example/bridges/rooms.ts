import { Type } from '@sinclair/typebox'
import { defineRoom } from 'fastify-realtime/contract'

/** What happens to an order, told by whoever owns the orders: a topic of Kafka, a table, a stream. */
export const orders = defineRoom('orders/:id', {
  events: { changed: Type.Object({ status: Type.String({ maxLength: 100 }), step: Type.Integer() }) }
})
