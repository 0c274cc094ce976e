import { randomBytes, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Type, type Static } from '@sinclair/typebox'
import Fastify from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { openMessages, type Message } from './database.js'

/** What a token says of its bearer. */
interface User { sub: string, role: 'agent' | 'customer' }
declare module '@fastify/jwt' {
  interface FastifyJWT { user: User }
}

// #region contract
const Said = Type.Object({
  id: Type.Integer(), customer: Type.String(), text: Type.String(), by: Type.String(), at: Type.Integer()
})
const Say = Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000 }) })
const conversation = defineRoom('conversations/:customer', {
  messages: {
    say: Say,
    type: Type.Object({})
  },
  events: {
    said: Said,
    typing: { data: Type.Object({ by: Type.String() }), delivery: 'volatile' }
  },
  member: Type.Object({ role: Type.String() })           // what presence says of a user
})

/** Where the agents see which conversations there are. */
const desk = defineRoom('desk', { events: { said: Said } })
// #endregion

const app = Fastify({ logger: { level: 'warn' } })
const messages = openMessages(process.env.DATABASE ?? 'support.db')
app.addHook('onClose', async () => { messages.close() })
await app.register(realtime, { jwt: { secret: process.env.JWT_SECRET ?? randomBytes(32).toString('hex') } })

// #region rooms
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

/** For the handler and for the route. First the message is stored, then it is told. */
async function say (line: Omit<Message, 'id' | 'at'>, sentAs: string): Promise<Message> {
  const message = messages.add(line, sentAs)
  const once = { idempotencyKey: `said ${message.id}` }
  await app.rooms.broadcast(conversation.at({ customer: line.customer }), 'said', message, once)
  await app.rooms.broadcast(desk, 'said', message, once)
  return message
}
// #endregion

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

app.post<{ Body: Static<typeof Login> }>('/login', { schema: { body: Login } }, async ({ body }, reply) => {
  const user = USERS.get(body.name)
  if (user?.password !== body.password) return await reply.code(401).send({ message: 'wrong name or password' })
  return { role: user.role, token: app.jwt.sign({ sub: body.name, role: user.role }, { expiresIn: '8h' }) }
})

function may ({ role, sub }: User, customer: string): boolean { return role === 'agent' || sub === customer }

// #region post
const onRequest = async (request: { jwtVerify (): Promise<unknown> }): Promise<void> => { await request.jwtVerify() }
const Key = Type.Object({ 'idempotency-key': Type.String({ minLength: 1, maxLength: 64 }) })

app.post<{ Params: { customer: string }, Body: Static<typeof Say>, Headers: Static<typeof Key> }>(
  '/conversations/:customer', { onRequest, schema: { body: Say, headers: Key } },
  async ({ user, params: { customer }, body, headers }, reply) => {
    if (!may(user, customer)) return await reply.code(403).send({ message: 'not yours' })
    return await say({ customer, by: user.sub, text: body.text }, headers['idempotency-key'])
  })
// #endregion

app.get<{ Params: { customer: string } }>('/conversations/:customer', {
  onRequest
}, async ({ user, params: { customer } }, reply) => {
  if (!may(user, customer)) return await reply.code(403).send({ message: 'not yours' })
  await reply.position(conversation.at({ customer }))    // first the position,
  return messages.of(customer)                           // then the state
})

// #region desk
app.get('/conversations', { onRequest }, async ({ user }, reply) => {
  if (user.role !== 'agent') return await reply.code(403).send({ message: 'not yours' })
  await reply.position(desk)
  return messages.newest()
})
// #endregion

app.get('/', async (_request, reply) =>
  await reply.type('text/html').send(await readFile(new URL('page.html', import.meta.url))))

const url = await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' })
console.log(`The support chat is at ${url}/`)
