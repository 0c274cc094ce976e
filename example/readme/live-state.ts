import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { defineRoom } from 'fastify-realtime/contract'

const Point = Type.Object({ x: Type.Number(), y: Type.Number() })

export const board = defineRoom('boards/:id', {
  messages: { point: { data: Point }, drop: { data: Type.Object({ note: Type.String() }) } },
  events: {
    cursor: {
      data: Type.Object({ by: Type.String(), at: Point }),
      delivery: 'latest',
      key: 'by',
      owner: true                                                    // gone when its user is
    },
    note: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'latest', key: 'id' }
  },
  member: Type.Object({ colour: Type.String({ maxLength: 20 }) })
})

export function declareBoards (app: FastifyInstance): void {
  app.room(board, { // no `authorize`: every signed-in user may join
    presence: { data: () => ({ colour: 'grey' }), update: true },    // room.presence({ colour: 'red' }) in the client
    on: {
      async point ({ data, userId, room }) { await room.broadcast('cursor', { by: userId, at: data }) },
      async drop ({ data, room }) { await room.remove('note', data.note) }
    }
  })
}
