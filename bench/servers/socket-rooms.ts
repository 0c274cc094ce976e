import type { WebSocket } from 'ws'
import type { ServerConfig } from '../shared/messages.js'
import { hear, Members, type Hall } from './hall.js'

/** Rooms as people write them by hand over `ws`: a Set of sockets under each name. */
export class SocketRooms implements Hall<WebSocket> {
  readonly #rooms = new Map<string, Set<WebSocket>>()
  readonly #members = new Members(this)
  readonly #config: ServerConfig
  readonly #publish: (sockets: ReadonlySet<WebSocket>, message: object) => void
  /** sockets that have answered the last ping; only where there are pings */
  readonly #alive = new Set<WebSocket>()
  readonly #all = new Set<WebSocket>()

  /** @param publish writes a message to all of the sockets */
  constructor (config: ServerConfig, publish: (sockets: ReadonlySet<WebSocket>, message: object) => void) {
    this.#config = config
    this.#publish = publish
    if (config.heartbeat !== undefined) setInterval(() => { this.#beat() }, config.heartbeat)
  }

  has (socket: WebSocket, room: string): boolean { return this.#rooms.get(room)?.has(socket) === true }

  publish (room: string, message: object): void { this.#publish(this.#rooms.get(room) ?? NONE, message) }

  send (socket: WebSocket, text: string): void { socket.send(text) }

  enter (socket: WebSocket, room: string): void {
    let sockets = this.#rooms.get(room)
    if (sockets === undefined) this.#rooms.set(room, sockets = new Set())
    sockets.add(socket)
  }

  leave (socket: WebSocket, room: string): void { this.#rooms.get(room)?.delete(socket) }

  /** A socket that was admitted, with the rooms of its URL. */
  open (socket: WebSocket, user: string, rooms: readonly string[]): void {
    const { presence, heartbeat } = this.#config
    for (const room of rooms) {
      if (presence) this.#members.join(room, user)
      this.enter(socket, room)
    }
    socket.on('message', (raw: Buffer) => { hear(this, this.#members, socket, user, raw.toString()) })
    socket.on('close', () => {
      this.#all.delete(socket)
      this.#alive.delete(socket)
      for (const room of rooms) {
        this.leave(socket, room)
        if (presence) this.#members.leave(room, user)
      }
    })
    socket.on('error', () => { socket.terminate() })
    if (heartbeat === undefined) return
    this.#all.add(socket)
    this.#alive.add(socket)
    socket.on('pong', () => { this.#alive.add(socket) })
  }

  /** As the documentation of `ws` finds broken connections. */
  #beat (): void {
    for (const socket of this.#all) {
      if (this.#alive.delete(socket)) socket.ping()
      else socket.terminate()
    }
  }
}

const NONE: ReadonlySet<WebSocket> = new Set()
