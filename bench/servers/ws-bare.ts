import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createVerifier } from 'fast-jwt'
import { WebSocketServer } from 'ws'
import type { ServerConfig } from '../shared/messages.js'
import type { EventData } from '../shared/payload.js'
import { SECRET } from '../shared/token.js'
import { bearer, DEFLATE, isSayable, roomsIn, type PeerServer } from './peer.js'
import { SocketRooms } from './socket-rooms.js'

/** `ws` and nothing else: a Set of sockets, each event serialised once. */
export async function start ({ compression }: ServerConfig): Promise<PeerServer> {
  const verify = createVerifier({ key: SECRET })
  const rooms = new SocketRooms()
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    skipUTF8Validation: true,
    perMessageDeflate: compression && DEFLATE
  })
  const broadcast = (room: string, data: EventData): void => {
    const text = JSON.stringify({ type: 'said', room, data })
    for (const socket of rooms.of(room)) socket.send(text)
  }
  const http = createServer()
  http.on('upgrade', (request, stream, head) => {
    try {
      verify(bearer(request.headers.authorization))
    } catch {
      stream.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n')
      return
    }
    server.handleUpgrade(request, stream, head, (socket) => {
      rooms.join(socket, roomsIn(request.url!.split('?')[1] ?? ''))
      socket.on('message', (raw: Buffer) => {
        const { room, id, data } = JSON.parse(raw.toString()) as { room: string, id: string, data: unknown }
        if (!isSayable(data) || !rooms.of(room).has(socket)) return
        broadcast(room, data)
        socket.send(JSON.stringify({ type: 'ack', room, id }))
      })
    })
  })
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', resolve) })
  return { port: (http.address() as AddressInfo).port, broadcast }
}
