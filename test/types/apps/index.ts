/*
 * What an app of the documentation must not be able to write; compiled by types.test.ts, never run. An expected error
 * that is missing is an error.
 */
import Fastify from 'fastify'
import { orders } from '../../api/5-existing.js'

const app = Fastify()
app.rooms.broadcast(orders.at({ shop: 'a' }), 'created', { id: '1' })
// @ts-expect-error an id of an order is a text
app.rooms.broadcast(orders.at({ shop: 'a' }), 'created', { id: 1 })
// @ts-expect-error a parameter of a room's name is a text
app.rooms.broadcast(orders.at({ shop: 1 }), 'created', { id: '1' })
// @ts-expect-error a user has what the app says
app.room(orders, { authorize: ({ user }) => user.nope })
