// 4. collaborative cursors
import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import realtime, { defineRoom, type HandlersOf } from '../../lib/index.js'
import { connect } from '../../lib/client/index.js'

const point = { x: Type.Number(), y: Type.Number() }
export const doc = defineRoom('doc/:id', {
  messages: { move: Type.Object(point) },
  events: { moved: { data: Type.Object({ by: Type.String(), ...point }), delivery: 'latest', key: 'by' } }
})
const on: HandlersOf<typeof doc> = {                               // handlers in a file of their own
  async move ({ data, userId, room, sender }) { await room.broadcast('moved', { by: userId, ...data }, { except: sender }) }
}
const app = Fastify()
await app.register(realtime, { jwt: { secret: 'x' } })
app.room(doc, { presence: true, history: false, flush: 16, limits: { rate: { messages: 120, burst: 240 } }, on })

export function page (id: string, draw: (by: string, x: number, y: number) => void, erase: (by: string) => void) {
  const room = connect('/ws').join(doc.at({ id }))
  room.on('moved', ({ data }) => draw(data.by, data.x, data.y))
  room.on('presence', ({ left }) => { for (const member of left) erase(member.userId) })
  addEventListener('pointermove', (e) => { room.send('move', { x: e.x, y: e.y }).catch(() => {}) })
}
