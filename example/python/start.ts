/** A server with a room, and the reader in Python, a process of its own with a token that is made for this run. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import closeWithGrace from 'close-with-grace'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { integer, object } from 'fastify-realtime/contract'

const clock = defineRoom('clock/:id', { events: { tick: object({ count: integer() }) } })

const app: FastifyInstance = Fastify({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })
await app.register(realtime, { jwt: { secret: randomBytes(32).toString('hex') } })
app.room(clock)
const url = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
console.log(`The room clock/1 is at ${url}/ws. What follows is printed by example/python/tail.py:`)

// By a stream, so that the standard library of Python is enough.
const reader = spawn('python3', [fileURLToPath(new URL('tail.py', import.meta.url)), `${url}/ws`, 'clock/1', '--sse'], {
  env: { ...process.env, REALTIME_TOKEN: app.jwt.sign({ sub: 'python' }, { expiresIn: '1h' }) },
  stdio: 'inherit'
})
reader.once('error', (error) => {
  console.error(`python3 cannot be run (${error.message}): install it, for the reader of this example`)
})

let count = 0
const ticking = setInterval(() => {
  void app.rooms.broadcast(clock.at({ id: '1' }), 'tick', { count: ++count })
}, 1_000)
closeWithGrace({ delay: 30_000 }, async () => {
  clearInterval(ticking)
  reader.kill('SIGTERM')
  await app.close()
})
