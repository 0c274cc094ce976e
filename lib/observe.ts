import type { Connections } from './connection/connections.js'
import type { Membership } from './rooms/room.js'
import type { Rooms as Engine } from './rooms/rooms.js'

export interface RoomView { readonly name: string, readonly definition: string, readonly members: number, readonly epoch?: string, readonly offset?: number }
export interface ConnectionView {
  readonly userId: string
  readonly transport: string
  readonly address: string
  /** Unix milliseconds */
  readonly openedAt: number
  readonly rooms: readonly string[]
  /** bytes waiting in the outbox */
  readonly outbox: number
  /** milliseconds of the last heartbeat's round trip */
  readonly latency?: number
}

/** Reads what the node holds, for those who ask: nothing here is kept up to date while nobody does. */
export class Observer {
  readonly #connections: Connections<Membership>
  readonly #engine: Engine

  constructor (connections: Connections<Membership>, engine: Engine) {
    this.#connections = connections
    this.#engine = engine
  }

  get connections (): { total: number, users: number, transports: Record<'websocket' | 'sse' | 'polling', number> } {
    const { size, users, transports } = this.#connections
    return { total: size, users, transports: { ...transports } }
  }

  /** Frames, bytes and events that wait in outboxes. */
  outbox (): { frames: number, bytes: number, events: number } {
    let frames = 0
    let bytes = 0
    let events = 0
    for (const { outbox } of this.#connections.values()) {
      if (outbox === undefined) continue
      frames += outbox.frames
      bytes += outbox.bytes
      events += outbox.events
    }
    return { frames, bytes, events }
  }

  get activeRooms (): number { return this.#engine.active.size }

  /** Active rooms and their members here, by definition: a closed set, unlike their names. */
  byDefinition (): Map<string, { rooms: number, members: number }> {
    const counts = new Map<string, { rooms: number, members: number }>()
    for (const { pattern, active } of this.#engine.declarations.values()) counts.set(pattern.source, { ...active })
    return counts
  }

  * rooms (skipped = 0): Generator<RoomView> {
    let left = skipped
    for (const room of this.#engine.active.values()) if (left-- <= 0) yield this.#view(room.name)!
  }

  room (name: string): RoomView | undefined { return this.#view(name) }

  #view (name: string): RoomView | undefined {
    const room = this.#engine.get(name)
    if (room === undefined) return undefined
    return { name, definition: room.declaration.pattern.source, members: room.size, ...(room.hasHistory ? room.position : {}) }
  }

  /** Without ids: they are secrets of their clients. */
  * all (skipped = 0): Generator<ConnectionView> {
    let left = skipped
    for (const connection of this.#connections.values()) {
      if (left-- > 0) continue
      const { userId, transport, address, openedAt, rooms, outbox, latency } = connection
      yield {
        userId,
        transport,
        address,
        openedAt,
        rooms: rooms.all().map(({ name }) => name),
        outbox: outbox?.bytes ?? 0,
        ...(latency === undefined ? {} : { latency: Math.round(latency * 10) / 10 })
      }
    }
  }
}
