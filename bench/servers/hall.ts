import { isSayable } from './peer.js'

/** What a server that is written by hand does for its sockets. */
export interface Hall<S> {
  has (socket: S, room: string): boolean
  enter (socket: S, room: string): void
  leave (socket: S, room: string): void
  publish (room: string, message: object): void
  send (socket: S, text: string): void
}

interface Heard {
  readonly type: string
  readonly room: string
  readonly id?: string
  readonly data?: unknown
}

/** Who is in which room, as people write it by hand; the rooms are told of who comes and goes. */
export class Members<S> {
  readonly #hall: Hall<S>
  readonly #users = new Map<string, Set<string>>()

  constructor (hall: Hall<S>) {
    this.#hall = hall
  }

  of (room: string): string[] { return [...this.#users.get(room) ?? []] }

  join (room: string, user: string): void {
    let users = this.#users.get(room)
    if (users === undefined) this.#users.set(room, users = new Set())
    if (users.has(user)) return
    users.add(user)
    this.#hall.publish(room, { type: 'presence', room, data: { joined: [user], left: [] } })
  }

  leave (room: string, user: string): void {
    const users = this.#users.get(room)
    if (users?.delete(user) !== true) return
    if (users.size === 0) this.#users.delete(room)
    this.#hall.publish(room, { type: 'presence', room, data: { joined: [], left: [user] } })
  }
}

/** Does what a message asks for, and acks it where it has an id. */
export function hear<S> (hall: Hall<S>, members: Members<S>, socket: S, user: string, text: string): void {
  const { type, room, id, data } = JSON.parse(text) as Heard
  let found: object = {}
  if (type === 'join') {
    members.join(room, user)
    hall.enter(socket, room)
    found = { data: { members: members.of(room) } }
  } else if (type === 'leave') {
    hall.leave(socket, room)
    members.leave(room, user)
  } else {
    if (!isSayable(data) || !hall.has(socket, room)) return
    hall.publish(room, { type: 'said', room, data })
  }
  if (id !== undefined) hall.send(socket, JSON.stringify({ type: 'ack', room, id, ...found }))
}
