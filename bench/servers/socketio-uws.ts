import { Server } from 'socket.io'
import type { ServerConfig } from '../shared/messages.js'
import type { PeerServer } from './peer.js'
import { optionsOf, serve, type App } from './socketio-app.js'
import { BACKPRESSURE, uwsApp, uwsListening } from './uws-app.js'

/** Socket.IO on uWebSockets.js, whose topics it uses for events to one room. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const app = uwsApp(config)
  const io: App = new Server(optionsOf(config))
  // The types of its options are those of the default engine; these are for the sockets of uWebSockets.js.
  io.attachApp(app, { maxBackpressure: BACKPRESSURE } as Parameters<App['attachApp']>[1])
  serve(io, config)
  return {
    port: await uwsListening(app),
    broadcast (room, data) { io.to(room).emit('said', data) },
    usesSend: true
  }
}
