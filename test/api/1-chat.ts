// 1. chat with presence and history
import Fastify from 'fastify'
import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import realtime, { defineRoom } from '../../lib/index.js'
import { connect } from '../../lib/client/index.js'

declare module '../../lib/index.js' { interface RealtimeTypes { user: { sub: string, name: string, rooms: string[], role?: string } } }

export const chat = defineRoom('chat/:id', {
  messages: {
    say: { data: Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000 }) }), reply: Type.Object({ id: Type.String() }) },
    type: Type.Object({})
  },
  events: {
    said: Type.Object({ id: Type.String(), text: Type.String(), by: Type.String() }),
    typing: { data: Type.Object({ by: Type.String() }), delivery: 'volatile' }
  },
  member: Type.Object({ name: Type.String() })
})

export function build () {
  const app = Fastify()
  app.register(realtime, { jwt: { secret: 'not a secret' }, capacity: 500 })
  app.register(async (app) => {                                  // or `await app.register(realtime, ...)` and no scope
    app.room(chat, {
      capacity: 50,
      authorize: ({ user, params }) => user.rooms.includes(params.id),
      presence: ({ user }) => ({ name: user.name }),
      on: {
        async say ({ data, userId, room }) {
          const said = { id: randomUUID(), text: data.text, by: userId }
          await room.broadcast('said', said)
          return { id: said.id }
        },
        async type ({ userId, room, sender }) { await room.broadcast('typing', { by: userId }, { except: sender }) }
      }
    })
  })
  return app
}

export async function page (token: () => Promise<string>, show: (line: string) => void) {
  const client = connect('/ws', { token })
  const room = client.join(chat.at({ id: '42' }), { last: 50 })
  room.on('said', ({ data }) => show(`${room.members.get(data.by)?.data.name}: ${data.text}`))
  room.on('presence', ({ joined, left }) => show(`+${joined.length} -${left.length}`))
  await room.joined                                              // rejects with { code: 'forbidden' } when refused
  const { id } = await room.send('say', { text: 'hello' })
  return id
}
