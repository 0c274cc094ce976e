import { randomBytes } from 'node:crypto'
import closeWithGrace from 'close-with-grace'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { object, string } from 'fastify-realtime/contract'
import { servePages } from '../pages.js'

/** The database of the shop. */
const orders = new Map([
  ['1001', { owner: 'ada', what: 'A kettle', isShipped: false }],
  ['1002', { owner: 'bob', what: 'Two lamps', isShipped: false }],
  ['1003', { owner: 'ada', what: 'A bicycle bell', isShipped: false }]
])

const app: FastifyInstance = Fastify({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })
await app.register(realtime, { jwt: { secret: randomBytes(32).toString('hex') } })   // tokens end with this process

// #region inbox
// What a user may be told. The room itself is built in.
const inbox = defineRoom('@user/:id', { events: { shipped: object({ order: string(), what: string() }) } })
app.room(inbox, { history: { size: 50, ttl: 86_400_000 } })   // the last 50, for a day
// #endregion

// A demo without passwords: put your login in its place.
app.post<{ Params: { user: string } }>('/login/:user', async ({ params }) => {
  return { token: app.jwt.sign({ sub: params.user }, { expiresIn: '5m' }) }
})

// #region ship
// The token of the link opens these routes as well. Here every user works in the warehouse; in your app ask for a role.
const guard = { onRequest: async (request: FastifyRequest) => { await request.jwtVerify() } }

app.get('/orders', guard, async () => [...orders].map(([id, order]) => ({ id, ...order })))

app.post<{ Params: { id: string } }>('/orders/:id/ship', guard, async ({ params }, reply) => {
  const order = orders.get(params.id)
  if (order === undefined) return await reply.code(404).send({ message: 'no such order' })
  if (order.isShipped) return await reply.code(409).send({ message: 'it was shipped before' })
  order.isShipped = true
  // Goes out with the 2xx. The two answers above tell nobody anything.
  reply.broadcast(inbox.at({ id: order.owner }), 'shipped', { order: params.id, what: order.what })
  return order
})
// #endregion

await servePages(app, new URL('public/', import.meta.url), ['index.html', 'app.js', 'style.css'])
closeWithGrace({ delay: 30_000 }, async () => {
  await app.rooms.drain()
  await app.close()
})
const url = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
console.log(`The shop is at ${url}/ (open it for Ada and for Bob)`)
