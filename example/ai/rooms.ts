import { defineRoom, object, string } from 'fastify-realtime/contract'

/** One conversation with the assistant. */
export const assistant = defineRoom('assistant/:id', {
  messages: {
    ask: {
      data: object({ question: string({ minLength: 1, maxLength: 2_000, pattern: '\\S' }) }),
      reply: object({ answer: string() })
    },
    // It may not wait behind what is asked.
    stop: { data: object({ answer: string({ maxLength: 64 }) }), concurrent: true }
  },
  events: {
    asked: object({ answer: string(), question: string() }),
    answer: { data: object({ id: string(), text: string() }), delivery: 'append', key: 'id', append: 'text' }
  }
})
