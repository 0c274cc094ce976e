import type { WebSocket } from 'ws'

/** Rooms as people write them by hand: a Set of sockets under each name. */
export class SocketRooms {
  readonly #rooms = new Map<string, Set<WebSocket>>()

  of (room: string): ReadonlySet<WebSocket> { return this.#rooms.get(room) ?? NONE }

  join (socket: WebSocket, rooms: readonly string[]): void {
    for (const room of rooms) {
      let members = this.#rooms.get(room)
      if (members === undefined) this.#rooms.set(room, members = new Set())
      members.add(socket)
    }
    socket.on('close', () => { for (const room of rooms) this.#rooms.get(room)?.delete(socket) })
    socket.on('error', () => { socket.terminate() })
  }
}

const NONE: ReadonlySet<WebSocket> = new Set()
