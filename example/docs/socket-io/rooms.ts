import { defineRoom, object, string } from 'fastify-realtime/contract'

export const project = defineRoom('projects/:id', {
  messages: {
    comment: { data: object({ text: string({ minLength: 1, maxLength: 5_000 }) }), reply: object({ id: string() }) },
    type: object({})
  },
  events: {
    commented: object({ id: string(), text: string(), by: string() }),
    typing: { data: object({ by: string() }), delivery: 'volatile' }
  }
})

export const inbox = defineRoom('@user/:id', { events: { invited: object({ project: string() }) } })
