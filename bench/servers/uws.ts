import uws from '@trufflesuite/uws-js-unofficial'
import { createVerifier } from 'fast-jwt'
import type { ServerConfig } from '../shared/messages.js'
import type { EventData } from '../shared/payload.js'
import { SECRET } from '../shared/token.js'
import { bearer, isSayable, roomsIn, type PeerServer } from './peer.js'

interface Member { readonly rooms: readonly string[] }

/** uWebSockets.js with its native topics. */
export async function start ({ compression }: ServerConfig): Promise<PeerServer> {
  // The package falls back to JavaScript without a word of its API: that would be measured under a wrong name.
  if (!('SHARED_COMPRESSOR' in uws)) {
    throw new Error(
      `no prebuilt binary of uWebSockets.js for Node ${process.versions.node} on ${process.platform}-${process.arch}`
    )
  }
  const verify = createVerifier({ key: SECRET })
  const app = uws.App()
  const broadcast = (room: string, data: EventData): void => {
    app.publish(room, JSON.stringify({ type: 'said', room, data }), false, compression)
  }
  app.ws<Member>('/ws', {
    compression: compression ? uws.SHARED_COMPRESSOR : uws.DISABLED,
    maxBackpressure: 16 * 1024 * 1024,
    upgrade (response, request, context) {
      try {
        verify(bearer(request.getHeader('authorization')))
      } catch {
        response.writeStatus('401 Unauthorized').end()
        return
      }
      response.upgrade<Member>(
        { rooms: roomsIn(request.getQuery()) },
        request.getHeader('sec-websocket-key'),
        request.getHeader('sec-websocket-protocol'),
        request.getHeader('sec-websocket-extensions'),
        context
      )
    },
    open (socket) { for (const room of socket.getUserData().rooms) socket.subscribe(room) },
    message (socket, raw) {
      const { room, id, data } = JSON.parse(Buffer.from(raw).toString()) as { room: string, id: string, data: unknown }
      if (!isSayable(data) || !socket.isSubscribed(room)) return
      broadcast(room, data)
      socket.send(JSON.stringify({ type: 'ack', room, id }))
    }
  })
  const port = await new Promise<number>((resolve, reject) => {
    app.listen('127.0.0.1', 0, (listening) => {
      if (listening) resolve(uws.us_socket_local_port(listening))
      else reject(new Error('cannot listen'))
    })
  })
  return { port, broadcast, usesSend: true }
}
