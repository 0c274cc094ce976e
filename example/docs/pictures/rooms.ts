import { defineRoom, integer, object, string } from 'fastify-realtime/contract'

export const album = defineRoom('albums/:id', {
  events: { added: object({ id: string(), by: string(), url: string(), bytes: integer() }) }
})
