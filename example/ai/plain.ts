import { readFile } from 'node:fs/promises'
import { buildApp } from './app.js'

const app = await buildApp({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })
const page = await readFile(new URL('plain.html', import.meta.url))
app.get('/', async (_request, reply) => await reply.type('text/html').send(page))

console.log(`The assistant is at ${await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })}/`)
