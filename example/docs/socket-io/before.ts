import type { Server as HttpServer } from 'node:http'
import { Server } from 'socket.io'

declare function userOf (token: unknown): Promise<{ id: string, name: string, projects: string[] }>
declare function save (project: string, text: string): Promise<string>

export function attach (server: HttpServer): Server {
  const io = new Server(server)

  io.use((socket, next) => {
    userOf(socket.handshake.auth.token).then((user) => {
      socket.data.user = user
      next()
    }, next)
  })

  io.on('connection', (socket) => {
    const { user } = socket.data
    void socket.join(`user:${user.id}`)
    socket.on('open', async (project: string, done: (answer: object) => void) => {
      if (!user.projects.includes(project)) {
        done({ error: 'forbidden' })
        return
      }
      await socket.join(`project:${project}`)
      socket.to(`project:${project}`).emit('joined', user.id)
      done({ ok: true })
    })
    socket.on('comment', async (project: string, text: string, done: (answer: object) => void) => {
      const id = await save(project, text)
      io.to(`project:${project}`).emit('commented', { id, text, by: user.id })
      done({ id })
    })
    socket.on('typing', (project: string) => {
      socket.volatile.to(`project:${project}`).emit('typing', user.id)
    })
    socket.on('tell', (to: string, text: string) => {
      io.to(`user:${to}`).emit('told', { text, by: user.id })
    })
    socket.on('disconnecting', () => {
      for (const room of socket.rooms) socket.to(room).emit('left', user.id)
    })
  })
  return io
}
