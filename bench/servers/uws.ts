import uws from '@trufflesuite/uws-js-unofficial'
import { createVerifier } from 'fast-jwt'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { hear, Members, type Hall } from './hall.js'
import { bearer, roomsIn, type PeerServer, type User } from './peer.js'
import { BACKPRESSURE, uwsApp, uwsListening } from './uws-app.js'

interface Member { readonly user: string, readonly rooms: readonly string[] }
type Socket = uws.WebSocket<Member>

/** Seconds that a peer has to answer a ping, which is sent so long before `idleTimeout` is over. */
const MARGIN = 4

/** uWebSockets.js with its native topics. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const { compression, presence, heartbeat } = config
  const verify = createVerifier({ key: SECRET })
  const app = uwsApp(config)
  const hall: Hall<Socket> = {
    has: (socket, room) => socket.isSubscribed(room),
    enter (socket, room) { socket.subscribe(room) },
    leave (socket, room) { socket.unsubscribe(room) },
    publish (room, message) { app.publish(room, JSON.stringify(message), false, compression) },
    send (socket, text) { socket.send(text) }
  }
  const members = new Members(hall)
  app.ws<Member>('/ws', {
    compression: compression ? uws.SHARED_COMPRESSOR : uws.DISABLED,
    maxBackpressure: BACKPRESSURE,
    ...(heartbeat === undefined ? {} : { idleTimeout: heartbeat / 1_000 + MARGIN, sendPingsAutomatically: true }),
    upgrade (response, request, context) {
      let user: string
      try {
        ({ sub: user } = verify(bearer(request.getHeader('authorization'))) as User)
      } catch {
        response.writeStatus('401 Unauthorized').end()
        return
      }
      response.upgrade<Member>(
        { user, rooms: roomsIn(request.getQuery()) },
        request.getHeader('sec-websocket-key'),
        request.getHeader('sec-websocket-protocol'),
        request.getHeader('sec-websocket-extensions'),
        context
      )
    },
    open (socket) {
      const { user, rooms } = socket.getUserData()
      for (const room of rooms) {
        socket.subscribe(room)
        if (presence) members.join(room, user)
      }
    },
    message (socket, raw) { hear(hall, members, socket, socket.getUserData().user, Buffer.from(raw).toString()) },
    close (socket) {
      const { user, rooms } = socket.getUserData()
      if (presence) for (const room of rooms) members.leave(room, user)
    }
  })
  return {
    port: await uwsListening(app),
    broadcast (room, data) { hall.publish(room, { type: 'said', room, data }) },
    usesSend: true
  }
}
