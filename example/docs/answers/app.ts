import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { object, string } from 'fastify-realtime/contract'
import { answer } from './model.js'
import { declareAssistant } from './server.js'
import { openStore } from './store.js'

const app: FastifyInstance = Fastify({ logger: { level: 'warn' } })
const store = openStore(process.env.DATABASE ?? 'answers.db')
app.addHook('onClose', async () => { store.close() })       // added before the plugin, so it runs behind all others
// Tokens end with the process, where no secret is given: the page fetches a new one.
await app.register(realtime, { jwt: { secret: process.env.JWT_SECRET ?? randomBytes(32).toString('hex') } })
declareAssistant(app, store, answer)

// A demo without passwords: whoever knows the name of a user is that user. Your login stands here.
app.post<{ Body: { user: string } }>('/login', {
  schema: { body: object({ user: string({ maxLength: 40, pattern: '^[a-z0-9-]{8,40}$' }) }) }
}, async ({ body }) => ({ token: app.jwt.sign({ sub: body.user }, { expiresIn: '5m' }) }))

const page = await readFile(new URL('page.html', import.meta.url))
app.get('/', async (_request, reply) => await reply.type('text/html; charset=utf-8').send(page))

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { void app.close() })
console.log(`The assistant is at ${await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })}/`)
