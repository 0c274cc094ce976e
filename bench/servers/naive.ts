import type { AddressInfo } from 'node:net'
import fastifyJwt from '@fastify/jwt'
import fastifyWebsocket from '@fastify/websocket'
import fastify from 'fastify'
import type { ServerConfig } from '../shared/messages.js'
import type { EventData } from '../shared/payload.js'
import { SECRET } from '../shared/token.js'
import { DEFLATE, isSayable, type PeerServer } from './peer.js'
import { SocketRooms } from './socket-rooms.js'

interface Query { readonly room?: string | string[] }

/** What is written by hand around @fastify/websocket: a loop over a Set that serialises for every socket. */
export async function start ({ compression }: ServerConfig): Promise<PeerServer> {
  const rooms = new SocketRooms()
  const app = fastify()
  await app.register(fastifyJwt, { secret: SECRET })
  await app.register(fastifyWebsocket, { options: { perMessageDeflate: compression && DEFLATE } })
  const broadcast = (room: string, data: EventData): void => {
    for (const socket of rooms.of(room)) {
      if (socket.readyState === socket.OPEN) socket.send(JSON.stringify({ type: 'said', room, data }))
    }
  }
  app.get<{ Querystring: Query }>('/ws', {
    websocket: true,
    preValidation: async (request) => { await request.jwtVerify() }
  }, (socket, request) => {
    rooms.join(socket, [request.query.room ?? []].flat())
    socket.on('message', (raw: Buffer) => {
      const { room, id, data } = JSON.parse(raw.toString()) as { room: string, id: string, data: unknown }
      if (!isSayable(data) || !rooms.of(room).has(socket)) return
      broadcast(room, data)
      socket.send(JSON.stringify({ type: 'ack', room, id }))
    })
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { port: (app.server.address() as AddressInfo).port, broadcast }
}
