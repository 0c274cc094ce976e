import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { Client } from 'fastify-realtime/client'
import { defineRoom } from 'fastify-realtime/contract'

export const assistant = defineRoom('assistant/:id', {
  messages: { ask: { data: Type.Object({ question: Type.String() }), reply: Type.Object({ answer: Type.String() }) } },
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
    on: {
      async ask ({ data, messageId = 'one', room, signal }) {
        const writer = room.stream('answer', { id: messageId, model: 'fake' }, { signal })
        await writer.from(tokensOf(data.question, signal))     // or: await writer.write(token)
        await writer.end()                                     // or: writer.end({ error: { code, message } })
        return { answer: messageId }
      }
    }
  })

  app.get<{ Params: { room: string, id: string } }>('/answers/:room/:id', async ({ params: { room, id } }, reply) => {
    const text = await app.rooms.read(assistant.at({ id: room }), 'answer', id)
    return text ?? reply.code(404).send()
  })
}

export async function show (client: Client, print: (text: string) => void): Promise<void> {
  const room = client.join(assistant.at({ id: '42' }))
  room.on('answer', ({ data, added, end }) => {
    print(end === undefined ? `${data.text.length} characters, ${added.length} of them new` : 'it has ended')
  })
  const { answer } = await room.send('ask', { question: 'why?' })
  for await (const part of room.stream('answer', answer)) print(part)   // ends, or throws, with the text
}
