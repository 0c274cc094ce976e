import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createVerifier } from 'fast-jwt'
import { Server, type ServerOptions } from 'socket.io'
import { bearer } from '../servers/peer.js'
import { namedRooms } from '../servers/socketio-app.js'
import { SECRET } from '../shared/token.js'
import type { NodeEvent, NodePeer } from './peer.js'

/**
 * Socket.IO as its documentation tunes it: websocket alone, no compression, requests let go; with one of its adapters.
 */
export async function startSocketIo (
  adapter: NonNullable<ServerOptions['adapter']>,
  packages: readonly string[]
): Promise<NodePeer> {
  const verify = createVerifier({ key: SECRET })
  const http = createServer()
  const io = new Server<Record<string, never>, { said: (event: NodeEvent) => void }>(http, {
    transports: ['websocket'],
    serveClient: false,
    httpCompression: false,
    perMessageDeflate: false,
    adapter
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
    void socket.join(namedRooms(socket.handshake.query));
    (socket.conn as { request: unknown }).request = null
  })
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', resolve) })
  return {
    port: (http.address() as AddressInfo).port,
    packages: ['socket.io', ...packages, 'redis'],
    broadcast (room, event) { io.to(room).emit('said', event) }
  }
}
