import { defineRoom, integer, object, string } from 'fastify-realtime/contract'

export const support = defineRoom('support/:id', {
  messages: {
    say: { data: object({ text: string({ minLength: 1, maxLength: 2_000 }) }), reply: object({ id: string() }) }
  },
  events: { said: object({ id: string(), place: integer(), by: string(), text: string() }) }
})
