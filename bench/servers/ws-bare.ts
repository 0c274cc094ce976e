import { createVerifier } from 'fast-jwt'
import { WebSocketServer } from 'ws'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { listening } from './listening.js'
import { bearer, DEFLATE, roomsIn, type PeerServer, type User } from './peer.js'
import { SocketRooms } from './socket-rooms.js'

/** `ws` and nothing else: a Set of sockets, each event serialised once. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const verify = createVerifier({ key: SECRET })
  const rooms = new SocketRooms(config, (sockets, message) => {
    const text = JSON.stringify(message)
    for (const socket of sockets) socket.send(text)
  })
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    skipUTF8Validation: true,
    perMessageDeflate: config.compression && DEFLATE
  })
  const { http, port } = await listening(config)
  http.on('upgrade', (request, stream, head) => {
    let user: string
    try {
      ({ sub: user } = verify(bearer(request.headers.authorization)) as User)
    } catch {
      stream.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n')
      return
    }
    server.handleUpgrade(request, stream, head, (socket) => {
      rooms.open(socket, user, roomsIn(request.url!.split('?')[1] ?? ''))
    })
  })
  return { port, broadcast (room, data) { rooms.publish(room, { type: 'said', room, data }) } }
}
