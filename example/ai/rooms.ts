import { Type } from '@sinclair/typebox'
import { defineRoom } from 'fastify-realtime/contract'

/** One conversation with the assistant. */
export const assistant = defineRoom('assistant/:id', {
  messages: {
    ask: {
      data: Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000, pattern: '\\S' }) }),
      reply: Type.Object({ answer: Type.String() })
    },
    // It may not wait behind what is asked.
    stop: { data: Type.Object({ answer: Type.String({ maxLength: 64 }) }), concurrent: true }
  },
  events: {
    asked: Type.Object({ answer: Type.String(), text: Type.String() }),
    answer: {
      data: Type.Object({ id: Type.String(), text: Type.String() }),
      delivery: 'append',
      key: 'id',
      append: 'text'
    }
  }
})
