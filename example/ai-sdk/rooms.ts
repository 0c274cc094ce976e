import { Type } from '@sinclair/typebox'
import { defineRoom } from 'fastify-realtime/contract'

/** One chat of `useChat`. */
export const ai = defineRoom('ai/:id', {
  messages: {
    ask: {
      data: Type.Object({ messages: Type.Array(Type.Unknown()) }, { additionalProperties: true }),
      reply: Type.Object({ answer: Type.String() })            // the key of the text
    },
    stop: { data: Type.Object({ answer: Type.String() }), concurrent: true }
  },
  events: {
    answer: {
      data: Type.Object({ id: Type.String(), chunks: Type.Array(Type.Unknown()) }),
      delivery: 'append',
      key: 'id',
      append: 'chunks'
    }
  }
})
