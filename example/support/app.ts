import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Type, type Static } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import realtime, { type RealtimeOptions } from 'fastify-realtime'
import type { Message, Messages } from './database.js'
import { conversation, desk, Say } from './rooms.js'

/** What a token says of its bearer. */
interface User { sub: string, role: 'agent' | 'customer' }
declare module '@fastify/jwt' {
  interface FastifyJWT { user: User }
}

/** Your app asks its own table of users here, which keeps hashes in place of passwords. */
const USERS = new Map<string, { password: string, role: 'agent' | 'customer' }>([
  ['grace', { password: 'sesame', role: 'agent' }],
  ['ada', { password: 'engine', role: 'customer' }],
  ['bob', { password: 'ladder', role: 'customer' }]
])
const Login = Type.Object({
  name: Type.String({ pattern: '^[a-z]+$', maxLength: 20 }),
  password: Type.String({ maxLength: 200 })
})

const PAGES = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/app.js', 'app.js', 'text/javascript; charset=utf-8'],
  ['/style.css', 'style.css', 'text/css; charset=utf-8']
] as const

/** Nothing of elsewhere; `data:` is the empty icon. */
const POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"

function may ({ role, sub }: User, customer: string): boolean { return role === 'agent' || sub === customer }

// #region build
/** What a server, and a test, make the app of. */
export interface Parts {
  readonly messages: Messages
  /** Options of this plugin, such as the secret of the tokens and the adapter. */
  readonly realtime: RealtimeOptions
  readonly fastify?: FastifyServerOptions
}

export async function buildApp ({ messages, realtime: options, fastify = {} }: Parts): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify(fastify)
  app.addHook('onClose', async () => { messages.close() })
  await app.register(realtime, options)
  // #endregion

  /** For the handler and for the route. First the message is stored, then it is told. */
  async function say (line: Omit<Message, 'id' | 'at'>, sentAs: string): Promise<Message> {
    const message = messages.add(line, sentAs)
    const once = { idempotencyKey: `said ${message.id}` }
    await app.rooms.broadcast(conversation.at({ customer: line.customer }), 'said', message, once)
    await app.rooms.broadcast(desk, 'said', message, once)
    return message
  }

  app.room(desk, { authorize: ({ user }) => user.role === 'agent' })
  app.room(conversation, {
    authorize: ({ user, params }) => may(user, params.customer),
    presence: ({ user }) => ({ role: user.role }),
    on: {
      async say ({ data, params, userId, messageId = randomUUID() }) {
        await say({ customer: params.customer, by: userId, text: data.text }, messageId)
      },
      async type ({ userId, room }) {
        await room.broadcast('typing', { by: userId }, { except: { user: userId } })
      }
    }
  })

  app.post<{ Body: Static<typeof Login> }>('/login', { schema: { body: Login } }, async ({ body }, reply) => {
    const user = USERS.get(body.name)
    if (user?.password !== body.password) return await reply.code(401).send({ message: 'wrong name or password' })
    return { role: user.role, token: app.jwt.sign({ sub: body.name, role: user.role }, { expiresIn: '8h' }) }
  })

  const onRequest = async (request: { jwtVerify (): Promise<unknown> }): Promise<void> => { await request.jwtVerify() }
  const Key = Type.Object({ 'idempotency-key': Type.String({ minLength: 1, maxLength: 64 }) })

  app.post<{ Params: { customer: string }, Body: Static<typeof Say>, Headers: Static<typeof Key> }>(
    '/conversations/:customer', { onRequest, schema: { body: Say, headers: Key } },
    async ({ user, params: { customer }, body, headers }, reply) => {
      if (!may(user, customer)) return await reply.code(403).send({ message: 'not yours' })
      return await say({ customer, by: user.sub, text: body.text }, headers['idempotency-key'])
    })

  app.get<{ Params: { customer: string } }>('/conversations/:customer', { onRequest }, async (request, reply) => {
    const { user, params: { customer } } = request
    if (!may(user, customer)) return await reply.code(403).send({ message: 'not yours' })
    await reply.position(conversation.at({ customer }))
    return messages.of(customer)
  })

  app.get('/conversations', { onRequest }, async ({ user }, reply) => {
    if (user.role !== 'agent') return await reply.code(403).send({ message: 'not yours' })
    await reply.position(desk)
    return messages.newest()
  })

  for (const [url, file, type] of PAGES) {
    const body = await readFile(new URL(`public/${file}`, import.meta.url))
    app.get(url, async (_request, reply) => await reply.type(type).header('content-security-policy', POLICY).send(body))
  }
  return app
}
