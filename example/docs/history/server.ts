import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { support } from './rooms.js'

export interface Line { readonly id: string, readonly by: string, readonly text: string }

/** Your database. */
export interface Lines {
  mayRead (user: string, room: string): Promise<boolean>
  insert (room: string, line: Line): Promise<void>
  newest (room: string, count: number): Promise<Line[]>
}

export function declareSupport (app: FastifyInstance, lines: Lines): void {
  app.room(support, {
    authorize: ({ userId, params }) => lines.mayRead(userId, params.id),
    on: {
      async say ({ data, userId, params, room, messageId = randomUUID() }) {
        const line = { id: `${userId} ${messageId}`, by: userId, text: data.text }
        await lines.insert(params.id, line)             // first the database,
        await room.broadcast('said', line)              // then the event
        return { id: line.id }
      }
    }
  })

  app.get<{ Params: { id: string } }>('/support/:id', {
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ params, user }, reply) => {
    const { sub } = user as { sub: string }
    if (!await lines.mayRead(sub, params.id)) return await reply.code(403).send({ message: 'not yours' })
    await reply.position(support.at(params))            // first the position, as a header,
    return await lines.newest(params.id, 100)           // then the database
  })
}
