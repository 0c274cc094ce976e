import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Type, type Static } from '@sinclair/typebox'
import Fastify from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'

// #region user
/** What a token says of its bearer. */
interface User { sub: string, role: 'agent' | 'customer' }
declare module '@fastify/jwt' {
  interface FastifyJWT { user: User }
}
// #endregion

const conversation = defineRoom('conversations/:customer', {
  messages: { say: Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000 }) }) },
  events: { said: Type.Object({ text: Type.String(), by: Type.String() }) }
})

const app = Fastify({ logger: { level: 'warn' } })
await app.register(realtime, { jwt: { secret: process.env.JWT_SECRET ?? randomBytes(32).toString('hex') } })

// #region room
app.room(conversation, {
  authorize: ({ user, params }) => user.role === 'agent' || user.sub === params.customer,
  on: {
    async say ({ data, userId, room }) {
      await room.broadcast('said', { text: data.text, by: userId })
    }
  }
})
// #endregion

// #region login
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
// #endregion

app.get('/', async (_request, reply) =>
  await reply.type('text/html').send(await readFile(new URL('page.html', import.meta.url))))

const url = await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' })
console.log(`The support chat is at ${url}/`)
