import { isOffset } from '../../protocol/position.js'
import type { ControlMessage, ListedConnection } from '../adapter.js'
import { isFields } from './stored.js'
import { isDate, isName, isRoom } from './values.js'

/** Connections in one list, and rooms of one of them, whoever asks. */
export const LISTED = 1_000
export const LISTED_ROOMS = 128
/** Bytes of one list at most. */
export const LISTED_BYTES = 262_144

/** Characters of the name of a room. */
const MAX_ROOM = 255
/** The id of a node: a name of one of its answers. */
const NODE = /^[A-Za-z0-9_-]{1,64}$/
const TRANSPORTS: ReadonlySet<unknown> = new Set<ListedConnection['transport']>(['websocket', 'sse', 'polling'])

type Fields = Readonly<Record<string, unknown>>
type Question = Extract<ControlMessage, { readonly type: 'list' }>
type Answer = Extract<ControlMessage, { readonly type: 'listed' }>

function isCount (value: unknown, most: number): value is number {
  return isOffset(value) && value > 0 && value <= most
}

/** Whether a value has the form of a node's id. */
export function isNode (value: unknown): value is string { return typeof value === 'string' && NODE.test(value) }

/** Reads a question for connections; `undefined` for what is none. */
export function listOf ({ id, after, user, room, limit, bytes }: Fields): Question | undefined {
  if (!isName(id) || !isCount(limit, LISTED) || !isCount(bytes, LISTED_BYTES)) return undefined
  if (user !== undefined && !isName(user)) return undefined
  if (room !== undefined && !isRoom(room)) return undefined
  if (after !== undefined && !(isFields(after) && isNode(after.node) && isOffset(after.number))) return undefined
  return {
    type: 'list',
    id,
    limit,
    bytes,
    ...(user === undefined ? {} : { user }),
    ...(room === undefined ? {} : { room }),
    ...(after === undefined ? {} : { after: { node: after.node as string, number: after.number as number } })
  }
}

/** Reads an answer with connections; `undefined` for what is none. */
export function listedOf ({ id, total, connections, more }: Fields): Answer | undefined {
  if (!isName(id) || !isOffset(total) || !Array.isArray(connections) || connections.length > LISTED) return undefined
  const read: ListedConnection[] = []
  let last = 0
  for (const each of connections as unknown[]) {
    const connection = connectionOf(each)
    // A page goes on behind its last number: an order that goes back would list some of them for ever.
    if (connection === undefined || connection.number <= last) return undefined
    last = connection.number
    read.push(connection)
  }
  if (more === true && read.length === 0) return undefined
  return { type: 'listed', id, total, connections: read, ...(more === true ? { more } : {}) }
}

function connectionOf (value: unknown): ListedConnection | undefined {
  if (!isFields(value)) return undefined
  const { number, id, user, transport, address, since, latency, lag, bytesIn, bytesOut, rooms, roomCount } = value
  if (!isName(id) || !isName(user) || !TRANSPORTS.has(transport) || typeof address !== 'string') return undefined
  // They are only shown, so their form need not be checked: a list may have twenty thousand of them.
  if (!Array.isArray(rooms) || rooms.length > LISTED_ROOMS || !rooms.every(isShortText)) return undefined
  if (![number, lag, bytesIn, bytesOut, roomCount].every(isOffset) || !isDate(since)) return undefined
  if (latency !== undefined && !isDate(latency)) return undefined
  return {
    number: number as number,
    id,
    user,
    transport: transport as ListedConnection['transport'],
    address: address.slice(0, 64),
    since,
    ...(latency === undefined ? {} : { latency }),
    lag: lag as number,
    bytesIn: bytesIn as number,
    bytesOut: bytesOut as number,
    rooms,
    roomCount: roomCount as number
  }
}

function isShortText (value: unknown): value is string { return typeof value === 'string' && value.length <= MAX_ROOM }
