import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'

const chat = defineRoom('chat/:id', {
  messages: {                                      // client -> server
    say: Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000 }) })
  },
  events: {                                        // server -> client
    said: Type.Object({ text: Type.String(), by: Type.String() })
  }
})

const app = Fastify()
await app.register(realtime, { jwt: { secret: process.env.JWT_SECRET! } })

app.room(chat, {
  on: {
    async say ({ data, userId, room }) {
      await room.broadcast('said', { text: data.text, by: userId })
    }
  }
})

await app.listen({ port: 3000 })
