import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createVerifier } from 'fast-jwt'
import { Server } from 'socket.io'
import type { ServerConfig } from '../shared/messages.js'
import type { EventData } from '../shared/payload.js'
import { SECRET } from '../shared/token.js'
import { bearer, DEFLATE, isSayable, roomsIn, type PeerServer } from './peer.js'

type Say = (room: string, data: unknown, ack: () => void) => void
type Events = { said: (data: EventData) => void }

/**
 * Socket.IO as its documentation tunes it: websocket alone, no compression unless it is what is measured, requests let
 * go.
 */
export async function start ({ compression }: ServerConfig): Promise<PeerServer> {
  const verify = createVerifier({ key: SECRET })
  const http = createServer()
  const io = new Server<{ say: Say }, Events>(http, {
    transports: ['websocket'],
    serveClient: false,
    httpCompression: false,
    perMessageDeflate: compression && DEFLATE
  })
  io.use((socket, next) => {
    try {
      verify(bearer(socket.handshake.headers.authorization))
      next()
    } catch (error) {
      next(error as Error)
    }
  })
  io.on('connection', (socket) => {
    void socket.join(roomsIn(socket.handshake.url.split('?')[1] ?? ''));
    (socket.conn as { request: unknown }).request = null
    socket.on('say', (room, data, ack) => {
      if (!isSayable(data) || !socket.rooms.has(room)) return
      io.to(room).emit('said', data)
      ack()
    })
  })
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', resolve) })
  return {
    port: (http.address() as AddressInfo).port,
    broadcast (room, data) { io.to(room).emit('said', data) }
  }
}
