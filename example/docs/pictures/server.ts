import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { album } from './rooms.js'

/** The most bytes of a picture. */
const MOST = 10_000_000

export interface Picture { readonly type: string, readonly bytes: Buffer }

/** Where the bytes are kept, such as S3 or a database. All nodes have to reach it: the disk of one node is none. */
export interface Store {
  put (id: string, picture: Picture): Promise<void>
  get (id: string): Promise<Picture | undefined>
  mayEnter (userId: string, album: string): Promise<boolean>
}

export function declareAlbums (app: FastifyInstance, store: Store): void {
  app.room(album, { authorize: async ({ userId, params }) => await store.mayEnter(userId, params.id) })

  // What is listed here is what is taken and shown; SVG is left out, since it can hold scripts.
  app.addContentTypeParser(
    /^image\/(?:png|jpeg|gif|webp|avif)$/,
    { parseAs: 'buffer', bodyLimit: MOST },
    (_request, bytes, done) => { done(null, bytes) }
  )
  app.post<{ Params: { id: string }, Body: unknown }>('/albums/:id', {
    onRequest: async (request) => { await request.jwtVerify() },
    bodyLimit: MOST
  }, async ({ params, body, headers, user }, reply) => {
    const { sub } = user as { sub: string }
    if (!await store.mayEnter(sub, params.id)) return await reply.code(403).send({ code: 'forbidden' })
    if (!Buffer.isBuffer(body)) return await reply.code(415).send({ code: 'no_picture' })
    const id = randomUUID()
    const url = `/pictures/${id}`
    await store.put(id, { type: headers['content-type']!, bytes: body })
    // Only where it is, never the bytes: a member that has missed it loads it when it needs it.
    reply.broadcast(album.at(params), 'added', { id, by: sub, url, bytes: body.length })
    return { id, url }
  })

  // An <img> sends no header. So whoever knows the random id may see the picture; for less, ask for a cookie here.
  app.get<{ Params: { id: string } }>('/pictures/:id', async ({ params }, reply) => {
    const picture = await store.get(params.id)
    if (picture === undefined) return await reply.code(404).send({ code: 'not_found' })
    return await reply
      .headers({ 'cache-control': 'private, max-age=31536000, immutable', 'x-content-type-options': 'nosniff' })
      .type(picture.type)
      .send(picture.bytes)
  })
}
