import { Type } from '@sinclair/typebox'
import { defineRoom } from 'fastify-realtime/contract'

const Said = Type.Object({
  id: Type.Integer(), customer: Type.String(), text: Type.String(), by: Type.String(), at: Type.Integer()
})

export const Say = Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000, pattern: '\\S' }) })

/** One conversation of a customer with the agents. */
export const conversation = defineRoom('conversations/:customer', {
  messages: {
    say: Say,
    type: Type.Object({})
  },
  events: {
    said: Said,
    typing: { data: Type.Object({ by: Type.String() }), delivery: 'volatile' }
  },
  member: Type.Object({ role: Type.String() })
})

/** Where the agents see which conversations there are. */
export const desk = defineRoom('desk', { events: { said: Said } })
