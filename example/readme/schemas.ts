import { Type } from '@sinclair/typebox'
import { defineRoom } from 'fastify-realtime/contract'
import * as z from 'zod'

export const meeting = defineRoom('meetings/:id', {
  messages: {
    say: Type.Object({ text: Type.String({ maxLength: 2000 }) }),                       // TypeBox
    invite: z.object({ email: z.email(), role: z.enum(['guest', 'host']).default('guest') }),   // Standard Schema
    vote: {
      data: {                                                                           // JSON Schema
        type: 'object',
        properties: { choice: { enum: ['yes', 'no'] } },
        required: ['choice'],
        additionalProperties: false
      },
      reply: Type.Object({ counted: Type.Boolean() })
    }
  },
  events: {
    said: Type.Object({ text: Type.String() }),
    invited: z.object({ email: z.string(), at: z.date().transform((at) => at.toISOString()) })
  }
})
