import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { defineRoom } from '../../lib/index.js'

/** A room with everything that components show: events, members, values and texts that grow. */
export const board = defineRoom('board/:id', {
  messages: {
    say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ id: Type.String() }) },
    score: Type.Object({ team: Type.String(), points: Type.Integer() }),
    write: Type.Object({ id: Type.String(), text: Type.String() })
  },
  events: {
    said: Type.Object({ text: Type.String(), by: Type.String() }),
    typing: { data: Type.Object({ by: Type.String() }), delivery: 'volatile' },
    score: { data: Type.Object({ team: Type.String(), points: Type.Integer() }), delivery: 'latest', key: 'team' },
    answer: {
      data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text'
    }
  },
  member: Type.Object({ name: Type.String() })
})

/** What a test of a whole page counts: who has joined, and how often. */
export interface Counts { joins: number, leaves: number }

export function declareBoard (app: FastifyInstance): Counts {
  const counts: Counts = { joins: 0, leaves: 0 }
  app.room(board, {
    authorize: ({ params }) => params.id !== 'closed',
    history: { size: 100 },
    presence: ({ userId }) => ({ name: userId.toUpperCase() }),
    onJoin () { counts.joins++ },
    onLeave () { counts.leaves++ },
    on: {
      async say ({ data, userId, room }) {
        await room.broadcast('typing', { by: userId })
        await room.broadcast('said', { text: data.text, by: userId })
        return { id: data.text }
      },
      async score ({ data, room }) { await room.broadcast('score', data) },
      async write ({ data: { id, text }, room }) {
        const writer = await room.stream('answer', { id })
        for (const part of text.split(' ')) await writer.write(part)
        await writer.end()
      }
    }
  })
  return counts
}
