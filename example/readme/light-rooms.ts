import { array, defineRoom, integer, object, oneOf, optional, string } from 'fastify-realtime/contract'

export const board = defineRoom('boards/:id', {
  messages: {
    add: {
      data: object({ text: string({ minLength: 1, maxLength: 200 }), tags: array(string()) }),
      reply: object({ id: string() })
    },
    move: object({ id: string(), to: integer({ minimum: 0 }) })
  },
  events: {
    added: object({ id: string(), text: string(), by: optional(string()) }),
    moved: object({ id: string(), to: integer(), state: oneOf('open', 'done') })
  }
})
