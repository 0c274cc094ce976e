import type { FastifyInstance } from 'fastify'
import { Server } from 'socket.io'
import { project } from './rooms.js'
import './types.js'

declare function userOf (token: unknown): Promise<{ sub: string, name: string, rooms: string[] } | null>
declare function save (project: string, text: string): Promise<string>

/** In place of `app.room(project, ...)`: the old side on a port of its own. What is said on one is heard on both. */
export function declareBoth (app: FastifyInstance, port: number): Server {
  const old = new Server(port)
  const nameOf = (id: string): string => `project:${id}`

  async function comment (id: string, text: string, by: string): Promise<{ id: string }> {
    const commented = { id: await save(id, text), text, by }
    await app.rooms.broadcast(project.at({ id }), 'commented', commented)   // where this throws, nobody has heard it
    old.to(nameOf(id)).emit('commented', commented)
    return { id: commented.id }
  }

  app.room(project, {
    authorize: ({ user, params }) => user.rooms.includes(params.id),
    presence: true,
    on: {
      comment: async ({ data, params, userId }) => await comment(params.id, data.text, userId),
      async type ({ params, userId, room, sender }) {
        await room.broadcast('typing', { by: userId }, { except: sender })
        old.volatile.to(nameOf(params.id)).emit('typing', userId)
      }
    }
  })

  old.use((socket, next) => {
    userOf(socket.handshake.auth.token).then((user) => {
      socket.data.user = user
      next(user === null ? new Error('unauthorized') : undefined)
    }, next)
  })
  old.on('connection', (socket) => {
    const { user } = socket.data
    socket.on('open', async (id: string, done: (answer: object) => void) => {
      const isAllowed = user.rooms.includes(id)
      if (isAllowed) await socket.join(nameOf(id))
      done(isAllowed ? { ok: true } : { error: 'forbidden' })
    })
    socket.on('comment', (id: string, text: unknown, done: (answer: object) => void) => {
      // The contract checks what new clients send; what old ones send is checked here.
      if (!socket.rooms.has(nameOf(id)) || typeof text !== 'string' || text === '' || text.length > 5_000) {
        done({ error: 'invalid' })
        return
      }
      comment(id, text, user.sub).then(done, (error: unknown) => {
        app.log.error(error, 'a comment of an old client failed')
        done({ error: 'internal' })
      })
    })
    socket.on('typing', (id: string) => {
      if (!socket.rooms.has(nameOf(id))) return
      socket.volatile.to(nameOf(id)).emit('typing', user.sub)
      void app.rooms.broadcast(project.at({ id }), 'typing', { by: user.sub })
    })
  })
  return old
}
