import { Server } from 'socket.io'
import type { ServerConfig } from '../shared/messages.js'
import { listening } from './listening.js'
import type { PeerServer } from './peer.js'
import { optionsOf, serve, type App } from './socketio-app.js'

/** Socket.IO on its default engine, which is `ws` on a server of Node. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const { http, port } = await listening(config)
  const io: App = new Server(http, optionsOf(config))
  serve(io, config)
  return { port, broadcast (room, data) { io.to(room).emit('said', data) } }
}
