import { defineRoom, object, string } from 'fastify-realtime/contract'

/** The questions of one user, and their answers. */
export const assistant = defineRoom('assistant/:id', {
  messages: {
    ask: {
      data: object({ question: string({ minLength: 1, maxLength: 2_000 }) }),
      reply: object({ answer: string() })
    },
    stop: { data: object({ answer: string() }), concurrent: true }
  },
  events: {
    asked: object({ answer: string(), question: string() }),
    answer: { data: object({ id: string(), text: string() }), delivery: 'append', key: 'id', append: 'text' }
  }
})
