import { Turns } from '../structures/turns.js'
import {
  latencyOf, namesOf, viewOf, type ConnectionView, type RoomView, type ShownConnection, type ShownConnections,
  type ShownRoom, type ShownRooms
} from './inspector.js'
import type { ConnectionSort, ListQuery, RoomSort } from './list-query.js'
import { select, type Selection } from './selection.js'

/** One connection in a sorted list. It is named by its node and a number, because its id is a secret of its client. */
export interface ConnectionRow extends Omit<ConnectionView, 'rooms'> {
  readonly key: string
  readonly node: string
  /** Milliseconds since its opening, by a clock that nobody sets. */
  readonly age: number
  /** The first of its rooms, and how many there are. */
  readonly rooms: readonly string[]
  readonly roomCount: number
  readonly bytesIn: number
  readonly bytesOut: number
}

/** All that is shown of one connection. */
export interface ConnectionDetail extends ConnectionRow {
  /** Milliseconds since its peer last gave a sign of life. */
  readonly silence: number
  /** Whether its link takes no more for now. */
  readonly isLagging: boolean
  /** Unix milliseconds at which its credential ends. */
  readonly expires?: number
}

/** One room in a sorted list, as one node has it. */
export interface RoomRow extends RoomView { readonly node: string }

/** Lists what this node holds, one page at a time, in an order. What is long is read in parts, one in each turn. */
export class Lists {
  readonly #node: string
  readonly #connections: ShownConnections
  readonly #hub: ShownRooms
  /** All lists that are made at the same time share the parts of the event loop's turns. */
  readonly #turns = new Turns()

  constructor (node: string, connections: ShownConnections, hub: ShownRooms) {
    this.#node = node
    this.#connections = connections
    this.#hub = hub
  }

  /** One page of the connections of this node, in an order. */
  async connections (query: ListQuery<ConnectionSort>): Promise<Selection<ConnectionRow>> {
    const { sort, user, room, transport, search } = query
    const items = user === undefined ? this.#connections.values(0) : this.#connections.ofUser(user)
    return await select(items, {
      ...query,
      turns: this.#turns,
      isMeant: (connection) => (transport === undefined || connection.transport === transport) &&
        (room === undefined || connection.rooms.get(room) !== undefined) &&
        (search === undefined || isFound(connection, search)),
      placeOf: (connection) => ({
        value: CONNECTION_VALUES[sort](connection),
        id: connection.number,
        node: this.#node
      }),
      viewOf: (connection) => this.#row(connection)
    })
  }

  /** One page of the rooms of this node, in an order. */
  async rooms (query: ListQuery<RoomSort>): Promise<Selection<RoomRow>> {
    const { sort, search } = query
    return await select(this.#hub.active.values(0), {
      ...query,
      turns: this.#turns,
      isMeant: ({ name, declaration }) => search === undefined || name.toLowerCase().includes(search) ||
        declaration.pattern.source.toLowerCase().includes(search),
      placeOf: (room) => ({ value: ROOM_VALUES[sort](room), id: room.name, node: this.#node }),
      viewOf: (room) => ({ ...viewOf(room), node: this.#node })
    })
  }

  /** Finds a connection of this node by its number. */
  async connection (number: number): Promise<ShownConnection | undefined> {
    let looked = 0
    for (const connection of this.#connections.values(0)) {
      if (connection.number === number) return connection
      if (++looked % LOOKED === 0) await this.#turns.step()
    }
    return undefined
  }

  /** Reads all that is shown of one connection. */
  detail (connection: ShownConnection): ConnectionDetail {
    const { identity: { exp }, beat, isLagging } = connection
    return {
      ...this.#row(connection),
      rooms: namesOf(connection),
      silence: Math.max(0, Math.round(performance.now() - beat.seenAt)),
      isLagging,
      ...(exp === undefined ? {} : { expires: exp * 1_000 })
    }
  }

  #row (connection: ShownConnection): ConnectionRow {
    const { number, userId, transport, address, openedAt, startedAt, outbox, bytesIn, bytesOut, rooms } = connection
    return {
      key: `${this.#node}.${number}`,
      node: this.#node,
      userId,
      transport,
      address,
      openedAt,
      age: Math.round(performance.now() - startedAt),
      rooms: shortNamesOf(connection),
      roomCount: rooms.size,
      outbox: outbox?.bytes ?? 0,
      bytesIn,
      bytesOut,
      ...latencyOf(connection)
    }
  }
}

/** Rooms of a connection that a list shows. */
const SHOWN_ROOMS = 4
/** Connections that a search for one examines between two looks at the clock. */
const LOOKED = 256
/** Stands before all values where there is none. */
const LEAST = -1

const CONNECTION_VALUES: Readonly<Record<ConnectionSort, (connection: ShownConnection) => string | number>> = {
  user: ({ userId }) => userId,
  transport: ({ transport }) => transport,
  address: ({ address }) => address,
  // Ages grow while a list is read; from the time of opening they keep their order.
  age: ({ openedAt }) => -openedAt,
  latency: ({ latency }) => latency ?? LEAST,
  waiting: ({ outbox }) => outbox?.bytes ?? 0,
  in: ({ bytesIn }) => bytesIn,
  out: ({ bytesOut }) => bytesOut,
  rooms: ({ rooms }) => rooms.size
}

const ROOM_VALUES: Readonly<Record<RoomSort, (room: ShownRoom) => string | number>> = {
  name: ({ name }) => name,
  definition: ({ declaration }) => declaration.pattern.source,
  members: ({ size }) => size,
  offset: (room) => room.hasHistory ? room.position.offset : LEAST
}

/** The first of its rooms, those that everybody is in last. */
function shortNamesOf (connection: ShownConnection): string[] {
  const names = namesOf(connection)
  return [...names.filter((name) => !name.startsWith('@')), ...names.filter((name) => name.startsWith('@'))]
    .slice(0, SHOWN_ROOMS)
}

function isFound (connection: ShownConnection, search: string): boolean {
  return connection.userId.toLowerCase().includes(search) || connection.address.includes(search) ||
    connection.rooms.all().some(({ name }) => name.toLowerCase().includes(search))
}
