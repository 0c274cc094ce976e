import type { Position } from '../protocol/position.js'
import type { Declaration } from '../rooms/declaration.js'
import type { Ledger, Transport } from './ledger.js'

export interface RoomView {
  readonly name: string
  readonly definition: string
  readonly members: number
  readonly epoch?: string
  readonly offset?: number
}
export interface ConnectionView {
  readonly userId: string
  readonly transport: string
  readonly address: string
  /** Unix milliseconds. */
  readonly openedAt: number
  readonly rooms: readonly string[]
  /** Bytes that wait in the outbox. */
  readonly outbox: number
  /** Milliseconds of the last heartbeat's round trip. */
  readonly latency?: number
}

/** The parts of a connection that are shown. */
export interface ShownConnection {
  readonly number: number
  readonly userId: string
  readonly transport: string
  readonly address: string
  readonly openedAt: number
  readonly startedAt: number
  readonly rooms: {
    readonly size: number
    all (): ReadonlyArray<{ readonly name: string }>
    get (name: string): unknown
  }
  readonly outbox: { readonly bytes: number } | undefined
  readonly latency: number | undefined
  readonly bytesIn: number
  readonly bytesOut: number
  readonly isLagging: boolean
  readonly beat: { readonly seenAt: number }
  readonly identity: { readonly exp?: number | undefined }
  close (word: 'unavailable', message: string): void
}

/** The parts of connections that are shown. */
export interface ShownConnections {
  readonly size: number
  readonly users: number
  readonly transports: Readonly<Record<Transport, number>>
  values (skipped: number): Iterable<ShownConnection>
  ofUser (userId: string): Iterable<ShownConnection>
}

/** The parts of a room that are shown. */
export interface ShownRoom {
  readonly name: string
  readonly declaration: Pick<Declaration, 'pattern'>
  readonly size: number
  readonly hasHistory: boolean
  readonly position: Position
}

/** The parts of rooms that are shown. */
export interface ShownRooms {
  readonly active: { readonly size: number, values (skipped: number): Iterable<ShownRoom> }
  readonly declarations: { values (): Iterable<Pick<Declaration, 'pattern' | 'active'>> }
  get (name: string): ShownRoom | undefined
}

/**
 * Reads what the node holds at the moment of a request. It maintains no copy of its own, so it costs nothing between
 * requests.
 */
export class Inspector {
  readonly #connections: ShownConnections
  readonly #hub: ShownRooms
  readonly #ledger: Ledger

  constructor (connections: ShownConnections, hub: ShownRooms, ledger: Ledger) {
    this.#connections = connections
    this.#hub = hub
    this.#ledger = ledger
  }

  get connections (): { total: number, users: number, transports: Record<Transport, number> } {
    const { size, users, transports } = this.#connections
    return { total: size, users, transports: { ...transports } }
  }

  /** Frames, bytes and events that wait in outboxes. */
  outbox (): { frames: number, bytes: number, events: number } {
    const { waiting, waitingBytes, queued } = this.#ledger
    return { frames: waiting, bytes: waitingBytes, events: queued }
  }

  get activeRooms (): number { return this.#hub.active.size }

  /**
   * Active rooms and their members on this node, by definition: definitions are a closed set, names of rooms are not.
   */
  byDefinition (): Map<string, { rooms: number, members: number }> {
    const counts = new Map<string, { rooms: number, members: number }>()
    for (const { pattern, active } of this.#hub.declarations.values()) counts.set(pattern.source, { ...active })
    return counts
  }

  * rooms (skipped = 0): Generator<RoomView> {
    for (const room of this.#hub.active.values(skipped)) yield viewOf(room)
  }

  room (name: string): RoomView | undefined {
    const room = this.#hub.get(name)
    return room === undefined ? undefined : viewOf(room)
  }

  /** Lists the connections without their ids, which are secrets of their clients. */
  * all (skipped = 0): Generator<ConnectionView> {
    for (const connection of this.#connections.values(skipped)) {
      const { userId, transport, address, openedAt, outbox } = connection
      yield {
        userId,
        transport,
        address,
        openedAt,
        rooms: namesOf(connection),
        outbox: outbox?.bytes ?? 0,
        ...latencyOf(connection)
      }
    }
  }
}

export function namesOf ({ rooms }: ShownConnection): string[] { return rooms.all().map(({ name }) => name) }

/** The round trip with one decimal, where there is one. */
export function latencyOf ({ latency }: Pick<ShownConnection, 'latency'>): { readonly latency?: number } {
  return latency === undefined ? {} : { latency: Math.round(latency * 10) / 10 }
}

export function viewOf (room: ShownRoom): RoomView {
  return {
    name: room.name,
    definition: room.declaration.pattern.source,
    members: room.size,
    ...(room.hasHistory ? room.position : {})
  }
}
