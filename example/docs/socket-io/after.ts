import type { FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { inbox, lobby, project } from './rooms.js'
import './types.js'

declare function userOf (token: string): Promise<{ sub: string, name: string, rooms: string[] } | null>
declare function save (project: string, text: string): Promise<string>

export async function attach (app: FastifyInstance): Promise<void> {
  await app.register(realtime, {
    authenticate: async (_request, token) => token === undefined ? null : await userOf(token),   // was io.use
    auth: { requireExp: false }                                 // users that have no `exp` may come in
  })
  app.room(inbox)                                               // was socket.join(`user:${id}`)
  app.room(project, {
    authorize: ({ user, params }) => user.rooms.includes(params.id),   // was the check in 'open'
    presence: true,                                             // was 'joined', 'left' and 'disconnecting'
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
  app.room(lobby, { // no `authorize`: every signed-in user may join
    on: {
      async tell ({ data, userId }) {                           // was io.to(`user:${to}`).emit
        await app.rooms.broadcast(inbox.at({ id: data.to }), 'told', { text: data.text, by: userId })
      }
    }
  })
}
