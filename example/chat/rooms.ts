import { Type } from '@sinclair/typebox'
import { defineRoom } from 'fastify-realtime/contract'

const Text = Type.String({ minLength: 1, maxLength: 2000, pattern: '\\S' })
const Line = { id: Type.String(), text: Text, by: Type.String(), name: Type.String() }

/** A chat room: what its members send, what they are sent, and what the list of those present says of each. */
export const chat = defineRoom('chat/:id', {
  messages: {
    say: { data: Type.Object({ text: Text }), reply: Type.Object({ id: Type.String() }) },
    whisper: {
      data: Type.Object({ to: Type.String({ minLength: 1, maxLength: 60 }), text: Text }),
      reply: Type.Object({ id: Type.String(), online: Type.Boolean() })
    },
    type: Type.Object({})
  },
  events: {
    said: Type.Object(Line),
    typing: { data: Type.Object({ by: Type.String(), name: Type.String() }), delivery: 'volatile' }
  },
  member: Type.Object({ name: Type.String() })
})

/** Every connection of a user is in this room from the start, and nobody else is: direct messages. */
export const inbox = defineRoom('@user/:id', {
  events: { whispered: Type.Object({ ...Line, to: Type.String() }) }
})

/** Every connection is in this room. */
export const everyone = defineRoom('@all', {
  events: { announced: Type.Object(Line) }
})
