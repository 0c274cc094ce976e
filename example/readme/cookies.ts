import cookie from '@fastify/cookie'
import jwt from '@fastify/jwt'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import realtime from 'fastify-realtime'
import { game } from './rooms.js'
import './types.js'

const HOUR = 3_600

export async function build (): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify({ trustProxy: true })
  await app.register(cookie)
  await app.register(jwt, {
    secret: process.env.JWT_SECRET ?? 'at least 32 characters, please change',
    cookie: { cookieName: 'session', signed: false }
  })
  await app.register(realtime, {
    auth: { carriers: ['cookie'], cookie: 'session' },
    origins: 'same'                                     // has to be written out where a cookie counts
  })

  async function sendSession (reply: FastifyReply, user: string): Promise<FastifyReply> {
    const token = app.jwt.sign({ sub: user, name: user, rooms: ['7'] }, { expiresIn: HOUR })
    return await reply
      .setCookie('session', token, { path: '/', httpOnly: true, secure: true, sameSite: 'lax', maxAge: HOUR })
      .send({})
  }

  app.post<{ Body: { user: string, password: string } }>('/login', async ({ body }, reply) => {
    if (!await isRight(body.user, body.password)) return await reply.code(401).send()
    return await sendSession(reply, body.user)
  })
  // The page calls it well before `exp`, such as every half of an hour.
  app.post('/renew', {
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ user }, reply) => await sendSession(reply, (user as { sub: string }).sub))
  app.post('/logout', {
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ user }, reply) => {
    await app.rooms.revoke({ user: (user as { sub: string }).sub }, { until: Date.now() })   // all devices of the user
    return await reply.clearCookie('session', { path: '/' }).send({})
  })

  app.room(game, {
    authorize: ({ user, params }) => user.rooms.includes(params.id),
    presence: ({ user }) => ({ name: user.name }),
    on: { move: () => ({ turn: 1 }), type: () => undefined }
  })
  return app
}

async function isRight (user: string, password: string): Promise<boolean> {
  return await Promise.resolve(user !== '' && password === 'secret')   // your database
}
