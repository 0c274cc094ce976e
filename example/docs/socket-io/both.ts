import type { FastifyInstance } from 'fastify'
import { Server } from 'socket.io'
import { project } from './rooms.js'

/** The old side on a port of its own. What is said there is heard in the new rooms, too. */
export function runBoth (app: FastifyInstance, port: number): Server {
  const io = new Server(port)
  io.on('connection', (socket) => {
    socket.on('comment', (id: string, text: string, done: (answer: object) => void) => {
      const comment = { id: socket.id, text, by: 'somebody' }
      io.to(`project:${id}`).emit('commented', comment)
      app.rooms.broadcast(project.at({ id }), 'commented', comment).then(() => { done({ id: comment.id }) }, done)
    })
  })
  return io
}
