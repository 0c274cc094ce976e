import { defineRoom, object, string } from 'fastify-realtime/contract'

export const chat = defineRoom('chat/:id', {
  messages: { say: object({ text: string({ minLength: 1, maxLength: 2_000 }) }) },
  events: { said: object({ text: string(), by: string() }) }
})
