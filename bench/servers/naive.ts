import type { AddressInfo } from 'node:net'
import fastifyJwt from '@fastify/jwt'
import fastifyWebsocket from '@fastify/websocket'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { fastifyOf } from './fastify.js'
import { DEFLATE, type PeerServer, type User } from './peer.js'
import { SocketRooms } from './socket-rooms.js'

interface Query { readonly room?: string | string[] }

/** What is written by hand around @fastify/websocket: a loop over a Set that serialises for every socket. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const rooms = new SocketRooms(config, (sockets, message) => {
    for (const socket of sockets) {
      if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message))
    }
  })
  const app = fastifyOf(config)
  await app.register(fastifyJwt, { secret: SECRET })
  await app.register(fastifyWebsocket, { options: { perMessageDeflate: config.compression && DEFLATE } })
  app.get<{ Querystring: Query }>('/ws', {
    websocket: true,
    preValidation: async (request) => { await request.jwtVerify() }
  }, (socket, request) => {
    rooms.open(socket, (request.user as User).sub, [request.query.room ?? []].flat())
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    port: (app.server.address() as AddressInfo).port,
    broadcast (room, data) { rooms.publish(room, { type: 'said', room, data }) }
  }
}
