import { createVerifier } from 'fast-jwt'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { readCertificate } from './certificate.js'
import { hear, Members, type Hall } from './hall.js'
import { bearer, roomsIn, type PeerServer, type User } from './peer.js'

interface Member { readonly user: string, readonly rooms: readonly string[] }

/** What is used of Bun's `ServerWebSocket`. */
interface Socket {
  readonly data: Member
  send (text: string, compress?: boolean): number
  subscribe (topic: string): void
  unsubscribe (topic: string): void
  isSubscribed (topic: string): boolean
}

interface Server {
  readonly port: number
  upgrade (request: Request, options: { data: Member }): boolean
  publish (topic: string, text: string, compress?: boolean): number
}

/** What is used of `Bun.serve`. */
interface Runtime {
  serve (options: {
    hostname: string
    port: number
    tls?: { key: Buffer, cert: Buffer }
    fetch (request: Request, server: Server): Response | undefined
    websocket: {
      perMessageDeflate: boolean
      backpressureLimit: number
      idleTimeout?: number
      sendPings?: boolean
      open (socket: Socket): void
      message (socket: Socket, text: string): void
      close (socket: Socket): void
    }
  }): Server
}

/** Bytes that may wait for a socket. */
const BACKPRESSURE = 16 * 1024 * 1024

/** Bun's own server with its native topics. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const { certificate, compression, presence, heartbeat } = config
  const { Bun: runtime } = globalThis as unknown as { Bun?: Runtime }
  if (runtime === undefined) throw new Error('Bun is not what runs this')
  const verify = createVerifier({ key: SECRET })
  const hall: Hall<Socket> = {
    has: (socket, room) => socket.isSubscribed(room),
    enter (socket, room) { socket.subscribe(room) },
    leave (socket, room) { socket.unsubscribe(room) },
    publish (room, message) { server.publish(room, JSON.stringify(message), compression) },
    send (socket, text) { socket.send(text) }
  }
  const members = new Members(hall)
  const server = runtime.serve({
    hostname: '127.0.0.1',
    port: 0,
    ...(certificate === undefined ? {} : { tls: readCertificate(certificate) }),
    fetch (request, server) {
      try {
        const { sub } = verify(bearer(request.headers.get('authorization') ?? undefined)) as User
        const rooms = roomsIn(request.url.split('?')[1] ?? '')
        return server.upgrade(request, { data: { user: sub, rooms } }) ? undefined : new Response(null, { status: 400 })
      } catch {
        return new Response(null, { status: 401 })
      }
    },
    websocket: {
      perMessageDeflate: compression,
      backpressureLimit: BACKPRESSURE,
      ...(heartbeat === undefined ? {} : { idleTimeout: Math.ceil(heartbeat / 1_000), sendPings: true }),
      open (socket) {
        const { user, rooms } = socket.data
        for (const room of rooms) {
          if (presence) members.join(room, user)
          socket.subscribe(room)
        }
      },
      message (socket, text) { hear(hall, members, socket, socket.data.user, text) },
      close (socket) {
        const { user, rooms } = socket.data
        if (presence) for (const room of rooms) members.leave(room, user)
      }
    }
  })
  return {
    port: server.port,
    broadcast (room, data) { hall.publish(room, { type: 'said', room, data }) },
    usesSend: true
  }
}
