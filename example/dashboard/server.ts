import { randomBytes } from 'node:crypto'
import cookie from '@fastify/cookie'
import closeWithGrace from 'close-with-grace'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { number, object, string } from 'fastify-realtime/contract'
import { servePages } from '../pages.js'

const plant = defineRoom('plants/:id', {
  events: {
    // Of the loads only the newest of each machine counts, of the alarms each one.
    load: { data: object({ machine: string(), percent: number() }), delivery: 'latest', key: 'machine' },
    alarm: object({ machine: string(), text: string() })
  }
})
const MACHINES = ['press', 'oven', 'mixer', 'saw', 'robot', 'pump']
/** Milliseconds between two values of all machines. */
const PACE = 100

const app: FastifyInstance = Fastify({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })
await app.register(cookie)
await app.register(realtime, {
  jwt: { secret: randomBytes(32).toString('hex') },        // of this process only: cookies end with it
  // The native EventSource sends cookies and no header.
  auth: { carriers: ['cookie'], cookie: 'session' },
  origins: 'same'
})
// no `authorize`: every signed-in user may join
app.room(plant, { flush: 250, history: { size: 20, ttl: 3_600_000 } })

// Every visitor gets a cookie with the page.
app.addHook('onRequest', async (request, reply) => {
  if (request.url !== '/' || request.cookies.session !== undefined) return
  const token = app.jwt.sign({ sub: `visitor-${randomBytes(9).toString('hex')}` }, { expiresIn: '8h' })
  void reply.setCookie('session', token, { path: '/', httpOnly: true, sameSite: 'strict' })
})

const high = new Set<string>()
const loads = new Map(MACHINES.map((machine) => [machine, 40 + Math.random() * 20]))
function measure (): void {
  for (const [machine, before] of loads) {
    const percent = Math.max(0, Math.min(100, before + (Math.random() - 0.49) * 6))
    loads.set(machine, percent)
    void app.rooms.broadcast(plant.at({ id: '1' }), 'load', { machine, percent: Math.round(percent) })
    // One alarm until the load was below 80 % again.
    if (percent < 80) high.delete(machine)
    if (percent < 90 || high.has(machine)) continue
    high.add(machine)
    void app.rooms.broadcast(plant.at({ id: '1' }), 'alarm', { machine, text: 'load above 90 %' })
  }
}
let timer: NodeJS.Timeout | undefined
app.addHook('onReady', async () => { timer = setInterval(measure, PACE) })
app.addHook('preClose', async () => { clearInterval(timer) })

await servePages(app, new URL('public/', import.meta.url), ['index.html', 'app.js', 'style.css'])
closeWithGrace({ delay: 30_000 }, async () => {
  await app.rooms.drain()
  await app.close()
})
const url = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
console.log(`The dashboard is at ${url}/`)
