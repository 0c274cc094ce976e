import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { convertToModelMessages, streamText, type LanguageModel, type UIMessage } from 'ai'
import type { FastifyInstance } from 'fastify'
import { createChatTransport, pipe } from 'fastify-realtime/ai'
import type { Client } from 'fastify-realtime/client'
import { defineRoom } from 'fastify-realtime/contract'
import './types.js'

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

// In the server.
export function declareChats (app: FastifyInstance, model: LanguageModel): void {
  app.room(ai, {
    authorize: ({ user, params }) => user.rooms.includes(params.id),
    on: {
      async ask ({ data, room, log }) {
        const id = randomUUID()
        const writer = await room.stream('answer', { id })
        const messages = await convertToModelMessages(data.messages as UIMessage[])
        const result = streamText({ model, messages, abortSignal: writer.signal })
        pipe(result, writer).catch((error: unknown) => { log.info(error) })
        return { answer: id }
      },
      async stop ({ data, room }) { await room.cancel('answer', data.answer) }
    }
  })
}

// In the page: useChat({ id, transport, resume: true }).
export const chatTransport = (client: Client): ReturnType<typeof createChatTransport> => createChatTransport(client, ai)
