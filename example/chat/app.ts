import { randomBytes, randomUUID } from 'node:crypto'
import cookie from '@fastify/cookie'
import { Type, type Static } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import realtime from 'fastify-realtime'
import { servePages } from '../pages.js'
import { chat, everyone, inbox } from './rooms.js'

/** What the token says of its bearer. */
interface User { sub: string, name: string, rooms: string[], role?: string }

declare module 'fastify-realtime' {
  interface RealtimeTypes { user: { sub: string, name: string, rooms: string[], role?: string } }
}

/** milliseconds that messages are kept for those who come later */
const HOUR = 3_600_000
const ROOMS = ['lobby', 'music', 'garden']
/** seconds: of a token, which the page renews by itself, and of the cookie */
const TOKEN_LIFE = 300
const SESSION_LIFE = 8 * 3600

const PAGES = [
  'index.html', 'style.css', 'eventsource.html', 'eventsource.js',
  'app.js', 'break.js', 'composer.js', 'login.js', 'messages.js', 'page.js', 'people.js', 'plug.js'
]

const Login = Type.Object({ name: Type.String({ minLength: 1, maxLength: 30, pattern: '\\S' }) })
const Announcement = Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000, pattern: '\\S' }) })

/** The whole app: a login, one REST route that broadcasts, three families of rooms, and a few static pages. */
export async function buildApp (options: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify(options)

  await app.register(cookie)
  await app.register(realtime, {
    // Of this process only: tokens end with it.
    jwt: { secret: randomBytes(32).toString('hex') },
    auth: { carriers: ['header', 'subprotocol', 'ticket', 'cookie'], cookie: 'session' },
    // Must be written out where a cookie is accepted.
    origins: 'same',
    capacity: 500,
    presence: { grace: 5_000 }
  })

  const history = { size: 200, ttl: HOUR }
  app.room(everyone, { history })
  app.room(inbox, { history })
  app.room(chat, {
    capacity: 50,
    history,
    authorize: ({ user, params }) => user.rooms.includes(params.id),
    presence: ({ user }) => ({ name: user.name }),
    on: {
      async say ({ data, user, userId, room }) {
        const id = randomUUID()
        await room.broadcast('said', { id, text: data.text, by: userId, name: user.name })
        return { id }
      },
      async whisper ({ data, user, userId }) {
        const line = { id: randomUUID(), text: data.text, by: userId, name: user.name, to: data.to }
        await this.rooms.broadcast(inbox.at({ id: data.to }), 'whispered', line)
        // to the other tabs of the sender, too
        if (data.to !== userId) await this.rooms.broadcast(inbox.at({ id: userId }), 'whispered', line)
        return { id: line.id, online: await this.rooms.isOnline(data.to) }
      },
      async type ({ user, userId, room, sender }) {
        await room.broadcast('typing', { by: userId, name: user.name }, { except: sender })
      }
    }
  })

  // A demo: whoever gives a name is that user, and everybody may see the stats.
  app.post<{ Body: Static<typeof Login> }>('/login', { schema: { body: Login } }, async ({ body, headers }, reply) => {
    const name = body.name.trim().normalize('NFC')
    const user: User = { sub: name.toLowerCase(), name, rooms: ROOMS, role: 'admin' }
    reply.setCookie('session', app.jwt.sign(user, { expiresIn: SESSION_LIFE }), {
      path: '/',
      httpOnly: true,
      sameSite: 'strict',
      secure: headers['x-forwarded-proto'] === 'https',
      maxAge: SESSION_LIFE
    })
    return { user, token: app.jwt.sign(user, { expiresIn: TOKEN_LIFE }), rooms: ROOMS }
  })

  // Goes out with the reply: a handler that fails announces nothing.
  app.post<{ Body: Static<typeof Announcement> }>('/announce', {
    schema: { body: Announcement },
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ body, user }, reply) => {
    const { sub, name } = user as User
    const id = randomUUID()
    reply.broadcast(everyone, 'announced', { id, text: body.text, by: sub, name })
    return { id }
  })

  await servePages(app, new URL('public/', import.meta.url), PAGES)

  return app
}
