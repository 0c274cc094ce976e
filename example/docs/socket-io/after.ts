import type { FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { inbox, project } from './rooms.js'

declare function userOf (token: string): Promise<{ sub: string, name: string, rooms: string[] } | null>
declare function save (project: string, text: string): Promise<string>

export async function attach (app: FastifyInstance): Promise<void> {
  await app.register(realtime, {
    authenticate: async (_request, token) => token === undefined ? null : await userOf(token),   // was io.use
    auth: { requireExp: false }
  })
  app.room(inbox)                                               // was socket.join(`user:${id}`)
  app.room(project, {
    authorize: ({ user, params }) => user.rooms.includes(params.id),   // was the check in 'open'
    on: {
      async comment ({ data, params, userId, room }) {
        const id = await save(params.id, data.text)
        await room.broadcast('commented', { id, text: data.text, by: userId })   // was io.to(...).emit
        return { id }                                           // was done({ id })
      },
      async type ({ userId, room, sender }) {                   // was socket.volatile.to(...)
        await room.broadcast('typing', { by: userId }, { except: sender })
      }
    }
  })
}
