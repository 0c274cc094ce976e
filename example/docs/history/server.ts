import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { support } from './rooms.js'

export interface Line { readonly id: string, readonly by: string, readonly text: string }

/** A line with its place, by which pages sort: a number that your database counts up. */
export interface Placed extends Line { readonly place: number }

/** Your database. */
export interface Lines {
  mayRead (user: string, room: string): Promise<boolean>
  /** Stores a line once, by its id, and returns what is stored. */
  insert (room: string, line: Line): Promise<Placed>
  newest (room: string, count: number): Promise<Placed[]>
}

export function declareSupport (app: FastifyInstance, lines: Lines): void {
  app.room(support, {
    authorize: ({ userId, params }) => lines.mayRead(userId, params.id),
    on: {
      async say ({ data, userId, params, room, messageId = randomUUID() }) {
        const id = `${userId} ${messageId}`
        const line = await lines.insert(params.id, { id, by: userId, text: data.text })   // first the database,
        await room.broadcast('said', line)              // then the event
        return { id }
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
