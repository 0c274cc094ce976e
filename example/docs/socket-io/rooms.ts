import { defineRoom, object, string } from 'fastify-realtime/contract'

const text = string({ minLength: 1, maxLength: 5_000 })

export const project = defineRoom('projects/:id', {
  messages: {
    comment: { data: object({ text }), reply: object({ id: string() }) },
    type: object({})
  },
  events: {
    commented: object({ id: string(), text: string(), by: string() }),
    typing: { data: object({ by: string() }), delivery: 'volatile' }
  }
})

/** One room for the messages that are of no room. */
export const lobby = defineRoom('lobby', {
  messages: { tell: object({ to: string({ maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' }), text }) }
})

/** Every connection of the user is in it by itself. */
export const inbox = defineRoom('@user/:id', { events: { told: object({ text: string(), by: string() }) } })
