import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'

export async function build (): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  await app.register(websocket)
  const sockets = new Map<string, Set<WebSocket>>()

  app.get<{ Params: { id: string }, Querystring: { name: string } }>(
    '/chat/:id',
    { websocket: true },
    (socket, { params, query }) => {
      const room = sockets.get(params.id) ?? new Set()
      sockets.set(params.id, room.add(socket))
      socket.on('message', (text) => {
        for (const each of room) each.send(JSON.stringify({ text: String(text), by: query.name }))
      })
      socket.on('close', () => { room.delete(socket) })
    }
  )
  return app
}
