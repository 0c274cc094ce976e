// 5. an existing app with its own plugins, cookie auth, CSRF, nested prefixes
import Fastify, { type FastifyInstance } from 'fastify'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import csrf from '@fastify/csrf-protection'
import jwt from '@fastify/jwt'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import websocket from '@fastify/websocket'
import { Type } from '@sinclair/typebox'
import realtime, { defineRoom } from '../../lib/index.js'

const site = 'https://app.example.com'
export const orders = defineRoom('orders/:shop', { events: { created: Type.Object({ id: Type.String() }) } })

export async function build (): Promise<FastifyInstance> {
  const app = Fastify({ trustProxy: true })
  await app.register(swagger)
  await app.register(cors, { origin: site, credentials: true })
  await app.register(cookie)
  await app.register(csrf)
  await app.register(rateLimit, { max: 100, timeWindow: '1 minute' })
  await app.register(jwt, { secret: 'x'.repeat(32), cookie: { cookieName: 'session', signed: false } })
  await app.register(websocket)
  await app.register(realtime, {                                   // no `jwt`: the app has one. With one: refused at start
    auth: { carriers: ['header', 'cookie'], cookie: 'session' },
    origins: [site],                                               // CSRF: Origin on upgrade and uplink, Sec-Fetch-Site on streams
    route: { config: { rateLimit: false }, schema: { tags: ['realtime'] } },
    stats: { authorize: (user) => user.role === 'admin', token: process.env.SCRAPE_TOKEN ?? 'dev' }
  })
  app.get('/legacy', { websocket: true }, (socket) => { socket.send('untouched: own limits, own close') })
  app.register(async (api) => {
    api.addHook('onRequest', async (request) => { await request.jwtVerify() })   // this scope's HTTP routes only, never its rooms
    api.register(async (shop) => {
      shop.room(orders, {                                          // name and URL stay orders/:shop and /ws/orders/:shop
        authorize: ({ user, params }) => user.rooms.includes(params.shop)
      })
      shop.post<{ Params: { shop: string } }>('/:shop/orders', { preHandler: shop.csrfProtection }, async (request, reply) => {
        const order = { id: '1' }
        reply.broadcast(orders.at({ shop: request.params.shop }), 'created', order)
        return order
      })
    }, { prefix: '/shops' })
  }, { prefix: '/api' })
  return app
}
