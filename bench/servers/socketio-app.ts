import { createVerifier } from 'fast-jwt'
import { Server, type ServerOptions } from 'socket.io'
import type { ServerConfig } from '../shared/messages.js'
import type { EventData } from '../shared/payload.js'
import { SECRET } from '../shared/token.js'
import { bearer, DEFLATE, isSayable, type User } from './peer.js'

type Presence = { room: string, joined: string[], left: string[] }
interface Heard {
  say: (room: string, data: unknown, ack?: () => void) => void
  join: (room: string, ack: (members: string[]) => void) => void
  leave: (room: string, ack: () => void) => void
}
interface Told { said: (data: EventData) => void, presence: (presence: Presence) => void }

export type App = Server<Heard, Told, Record<string, never>, { user: string }>

/** milliseconds for which a client that is gone may come back */
const RECOVERY = 120_000

/** Its engines tell of a query one value of each name only, and have no URL in common. */
export function namedRooms ({ rooms }: { readonly rooms?: unknown }): string[] {
  return typeof rooms === 'string' ? rooms.split(',') : []
}

/** Its options as its documentation tunes it: one transport, no compression unless it is what is measured. */
export function optionsOf ({ transport, compression, recovery, heartbeat }: ServerConfig): Partial<ServerOptions> {
  return {
    transports: [transport === 'polling' ? 'polling' : 'websocket'],
    serveClient: false,
    httpCompression: false,
    perMessageDeflate: compression && DEFLATE,
    ...(heartbeat === undefined ? {} : { pingInterval: heartbeat }),
    // The token of a client that comes back is verified as those of all others are.
    ...(recovery ? { connectionStateRecovery: { maxDisconnectionDuration: RECOVERY, skipMiddlewares: false } } : {})
  }
}

/** The application on it, whatever its engine is. Requests are let go, as its documentation advises. */
export function serve (io: App, { presence }: ServerConfig): void {
  const verify = createVerifier({ key: SECRET })
  const members = new Map<string, Set<string>>()
  const join = (room: string, user: string): Set<string> => {
    let users = members.get(room)
    if (users === undefined) members.set(room, users = new Set())
    users.add(user)
    io.to(room).emit('presence', { room, joined: [user], left: [] })
    return users
  }
  const leave = (room: string, user: string): void => {
    const users = members.get(room)
    if (users?.delete(user) !== true) return
    if (users.size === 0) members.delete(room)
    io.to(room).emit('presence', { room, joined: [], left: [user] })
  }
  io.use((socket, next) => {
    try {
      socket.data.user = (verify(bearer(socket.handshake.headers.authorization)) as User).sub
      next()
    } catch (error) {
      next(error as Error)
    }
  })
  io.on('connection', (socket) => {
    const { user } = socket.data
    const rooms = namedRooms(socket.handshake.query)
    if (presence) for (const room of rooms) join(room, user)
    void socket.join(rooms);
    (socket.conn as { request: unknown }).request = null
    socket.on('say', (room, data, ack) => {
      if (!isSayable(data) || !socket.rooms.has(room)) return
      io.to(room).emit('said', data)
      ack?.()
    })
    socket.on('join', (room, ack) => {
      const users = join(room, user)
      void socket.join(room)
      ack([...users])
    })
    socket.on('leave', (room, ack) => {
      void socket.leave(room)
      leave(room, user)
      ack()
    })
    if (presence) socket.on('disconnect', () => { for (const room of rooms) leave(room, user) })
  })
}
