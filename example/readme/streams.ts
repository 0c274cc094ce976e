import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { Client } from 'fastify-realtime/client'
import { defineRoom } from 'fastify-realtime/contract'

export const assistant = defineRoom('assistant/:id', {
  messages: {
    ask: { data: Type.Object({ question: Type.String() }), reply: Type.Object({ answer: Type.String() }) },
    stop: { data: Type.Object({ answer: Type.String() }), concurrent: true }
  },
  events: {
    answer: {
      data: Type.Object({ id: Type.String(), text: Type.String(), model: Type.String() }),
      delivery: 'append',
      key: 'id',                                               // one text for each id
      append: 'text'                                           // what grows
    }
  }
})

declare function tokensOf (question: string, signal: AbortSignal): AsyncIterable<string>

export function declareAssistant (app: FastifyInstance): void {
  app.room(assistant, {
    authorize: ({ userId, params }) => userId === params.id,   // each user has one room, and nobody else may read it
    on: {
      async ask ({ data, messageId = randomUUID(), room, log }) {
        const writer = await room.stream('answer', { id: messageId, model: 'fake' })
        writer.from(tokensOf(data.question, writer.signal))    // or: await writer.write(token)
          .then(() => writer.end())                            // or: writer.end({ error: { code, message } })
          .catch((error: unknown) => { log.info(error) })      // the text has ended, see below
        return { answer: messageId }                           // the text goes on behind the reply
      },
      async stop ({ data, room }) { await room.cancel('answer', data.answer) }
    }
  })

  // A route asks no `authorize` of a room: it takes the room of the user who calls.
  app.get<{ Params: { id: string } }>('/answers/:id', {
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ params, user }, reply) => {
    const room = assistant.at({ id: (user as { sub: string }).sub })
    return await app.rooms.read(room, 'answer', params.id) ?? reply.code(404).send()
  })
}

export async function show (client: Client, user: string, print: (text: string) => void): Promise<void> {
  const room = client.join(assistant.at({ id: user }))
  room.on('answer', ({ data, added, end }) => {
    print(end === undefined ? `${data.text.length} characters, ${added.length} of them new` : 'it has ended')
  })
  const { answer } = await room.send('ask', { question: 'why?' })
  for await (const part of room.stream('answer', answer)) print(part)   // ends, or throws, with the text
}
