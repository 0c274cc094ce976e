import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { defineRoom, integer, object, string } from 'fastify-realtime/contract'

export const album = defineRoom('albums/:id', {
  events: { added: object({ id: string(), by: string(), url: string(), bytes: integer() }) }
})

/** Where the bytes are kept: a disk, S3 ... */
export interface Store { put (name: string, bytes: Buffer): Promise<void> }

export function declareAlbums (app: FastifyInstance, store: Store): void {
  app.room(album)
  app.addContentTypeParser('image/png', { parseAs: 'buffer', bodyLimit: 10_000_000 }, (_request, bytes, done) => { done(null, bytes) })
  app.post<{ Params: { id: string }, Body: Buffer }>('/albums/:id', {
    onRequest: async (request) => { await request.jwtVerify() },
    bodyLimit: 10_000_000
  }, async ({ params, body, user }, reply) => {
    const id = randomUUID()
    await store.put(id, body)
    // Only where it is, never the bytes: a member that has missed it loads it when it needs it.
    reply.broadcast(album.at(params), 'added', {
      id, by: (user as { sub: string }).sub, url: `/pictures/${id}`, bytes: body.length
    })
    return { id }
  })
}
