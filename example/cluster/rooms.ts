import { Type } from '@sinclair/typebox'
import { defineRoom } from 'fastify-realtime/contract'

const Text = Type.String({ minLength: 1, maxLength: 2000 })

/** `node`: the address of the node that took the message, so that one can see events cross from one to the other. */
export const chat = defineRoom('chat/:id', {
  messages: { say: { data: Type.Object({ text: Text }), reply: Type.Object({ node: Type.String() }) } },
  events: { said: Type.Object({ text: Text, by: Type.String(), node: Type.String() }) }
})
