// 3. live dashboard over SSE only, a plain page without the client library
import Fastify from 'fastify'
import cookie from '@fastify/cookie'
import { Type } from '@sinclair/typebox'
import realtime, { defineRoom } from '../../lib/index.js'

const board = defineRoom('board', { events: { metric: { data: Type.Object({ name: Type.String(), value: Type.Number() }), delivery: 'latest', key: 'name' } } })
const values = new Map<string, number>()
const app = Fastify()
await app.register(cookie)
await app.register(realtime, { jwt: { secret: 'x' }, auth: { carriers: ['cookie'], cookie: 'session' }, origins: 'same' })
app.room(board, {
  flush: 100,
  onJoin ({ connection }) { for (const [name, value] of values) connection.send('metric', { name, value }) }   // the state now; the stream brings the rest
})
app.post<{ Body: { name: string, value: number } }>('/metrics', async ({ body }) => {
  values.set(body.name, body.value)
  await app.rooms.broadcast(board, 'metric', body)                 // a definition without params is the room
  return {}
})
app.get('/', async (_request, reply) => reply.type('text/html').send(`<!doctype html><dl id=d></dl><script type=module>
const es = new EventSource('/ws/board')                            // cookie; reconnects by itself with Last-Event-ID
es.addEventListener('metric', ({ data }) => { const { name, value } = JSON.parse(data).data; (document.getElementById(name) ?? d.appendChild(Object.assign(document.createElement('dd'), { id: name }))).textContent = name + ' ' + value })
es.addEventListener('realtime', ({ data }) => console.log(JSON.parse(data).type))   // welcome, left, gap, error: never EventSource's own 'error'
</script>`))
