import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import jwt from '@fastify/jwt'
import rateLimit from '@fastify/rate-limit'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import realtime from 'fastify-realtime'
import { game } from './rooms.js'
import './types.js'

const site = 'https://app.example.com'
const app = Fastify({ trustProxy: true })

// The app's own plugins first.
await app.register(cors, {
  origin: site,
  credentials: true,
  allowedHeaders: ['authorization', 'content-type', 'last-event-id', 'x-connection-id'],
  exposedHeaders: ['retry-after', 'x-user-id', 'x-realtime-position']
})
await app.register(cookie)
await app.register(rateLimit, { max: 100, timeWindow: '1 minute' })
await app.register(jwt, { secret: process.env.JWT_SECRET!, cookie: { cookieName: 'session', signed: false } })
await app.register(websocket)

await app.register(realtime, {                       // no `jwt`, no `websocket`: the app has them
  auth: { carriers: ['header', 'subprotocol', 'cookie'], cookie: 'session' },
  origins: [site],
  route: { config: { rateLimit: false } }            // merged into each of our routes
})

app.room(game, {
  authorize: ({ user, params }) => user.rooms.includes(params.id),
  presence: ({ user }) => ({ name: user.name }),
  on: { move: () => ({ turn: 1 }), type: () => undefined }
})
