import { Type } from '@sinclair/typebox'
import { defineRoom } from 'fastify-realtime/contract'

export const game = defineRoom('games/:id', {
  messages: {
    move: {
      data: Type.Object({ from: Type.Integer(), to: Type.Integer() }),
      reply: Type.Object({ turn: Type.Integer() })             // becomes the data of the sender's ack
    },
    type: Type.Object({})                                      // short form: no reply
  },
  events: {
    moved: Type.Object({ from: Type.Integer(), to: Type.Integer(), by: Type.String() }),
    clock: { data: Type.Object({ player: Type.String(), left: Type.Integer() }), delivery: 'latest', key: 'player' },
    typing: { data: Type.Object({ by: Type.String() }), delivery: 'volatile' }
  },
  member: Type.Object({ name: Type.String() })                 // what presence says of a user
})

/** Every connection of a user is a member from the start, and nobody else can be. */
export const inbox = defineRoom('@user/:id', { events: { shipped: Type.Object({ order: Type.String() }) } })

/** Every connection is a member. */
export const everyone = defineRoom('@all', {
  events: { notice: Type.Object({ text: Type.String({ maxLength: 500 }) }) }
})
