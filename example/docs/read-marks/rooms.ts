import { boolean, defineRoom, integer, object, string } from 'fastify-realtime/contract'

export const talk = defineRoom('talks/:id', {
  messages: { see: object({ upTo: integer({ minimum: 1 }) }) },
  events: {
    said: object({ id: integer(), by: string(), text: string() }),
    // Reliable, as each event is that says nothing else: it is kept, and sent again after a break.
    seen: object({ by: string(), upTo: integer() })
  }
})

export const desk = defineRoom('desk', { events: { online: object({ user: string(), isOnline: boolean() }) } })
