import type { FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { project } from './rooms.js'
import './types.js'

declare function save (project: string, text: string): Promise<string>

export async function attach (app: FastifyInstance, secret: string): Promise<void> {
  await app.register(realtime, { jwt: { secret } })             // was io.use with jwt.verify
  app.post<{ Params: { id: string }, Body: { text: string } }>('/projects/:id/comments', {
    onRequest: async (request) => { await request.jwtVerify() },     // routes check for themselves
    schema: { body: { type: 'object', required: ['text'], properties: { text: { type: 'string' } } } }
  }, async ({ params, body, user }, reply) => {
    const { sub, rooms } = user as { sub: string, rooms: string[] }
    if (!rooms.includes(params.id)) return await reply.code(403).send({ code: 'forbidden' })
    const id = await save(params.id, body.text)
    reply.broadcast(project.at(params), 'commented', { id, text: body.text, by: sub })   // was io.to(...).emit
    return { id }
  })
}
