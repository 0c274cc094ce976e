import type { FastifyRequest } from 'fastify'
import { Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import {
  connectionOf, formerOf, partsOf, readParts, type Cursor, type CursorEntry, type CursorParts
} from '../protocol/cursor.js'
import { isKnown } from '../protocol/frames.js'
import { EPOCH, isOffset, type Position } from '../protocol/position.js'
import { ALL } from '../rooms/built-in.js'
import type { JoinRequest } from '../rooms/joining.js'
import type { KnownTexts } from '../rooms/known-texts.js'

/** The kind of connection that a request asks for; it decides what is checked and what is reserved. */
export type Kind = 'websocket' | 'sse' | 'polling' | 'uplink' | 'verdict'

/** The parameters of a URL of the rooms, unchecked. */
export interface Query {
  readonly room?: unknown
  readonly since?: unknown
  readonly last?: unknown
  readonly at?: unknown
  readonly connection?: unknown
  readonly known?: unknown
  readonly events?: unknown
}

/**
 * Returns the query of a request. An EventSource reconnects with the URL of its first request and the id of its last
 * event, of which the id is the newer one.
 */
export function queryOf ({ query, headers }: FastifyRequest, kind: Kind): Query {
  const last = kind === 'sse' ? headers['last-event-id'] : undefined
  return typeof last === 'string' && last !== '' ? { ...query as Query, since: last } : query as Query
}

/** Takes the cursor of a request apart, before its room list is known. */
export function partsOfCursor ({ since }: Query): CursorParts | undefined {
  return typeof since === 'string' && since !== '' ? partsOf(since) : undefined
}

/** Reads the id of the connection that a poll continues before its room list is known. */
export function peek ({ since, connection }: Query, parts: CursorParts | undefined): string | undefined {
  if (since === undefined || since === '') return newestOf(connection)
  return parts === undefined ? undefined : connectionOf(parts)
}

/**
 * Returns the connection that a request follows: that of its cursor, else the last one that its client says it had. A
 * client that has changed its rooms has no cursor of the new list.
 */
export function followed (query: Query, cursor: Cursor | undefined): string | undefined {
  return cursor?.connection ?? newestOf(query.connection)
}

function newestOf (connections: unknown): string | undefined { return formerOf(connections)?.split(',', 1)[0] }

export function readCursor (
  { since }: Query,
  parts: CursorParts | undefined,
  rooms: readonly string[]
): Cursor | undefined {
  if (since === undefined || since === '') return undefined
  const cursor = parts === undefined ? undefined : readParts(parts, rooms)
  if (cursor === undefined) {
    throw new Refusal('invalid_message', { message: 'since is no cursor of this list of rooms' })
  }
  return cursor
}

export function requestOf (query: Query, cursor: Cursor | undefined, index: number, name: string): JoinRequest {
  const entry = cursor?.entries[index]
  const last = numberOf(query.last)
  return {
    since: entry?.position ?? positionOf(query.at, index, name),
    last,
    former: formerOf(cursor?.connection, query.connection),
    version: entry?.version,
    known: knownOf(entry, query.known, index),
    sequence: entry?.presence
  }
}

/** Reads what a peer has of the texts of a room: by its cursor, or by `known`, JSON of [index of the room, texts]. */
function knownOf (entry: CursorEntry | undefined, given: unknown, index: number): KnownTexts | undefined {
  if (entry?.grown !== undefined) return { version: entry.grown, lengths: entry.lengths }
  if (entry !== undefined || given === undefined) return undefined
  const rooms = typeof given === 'string' ? jsonOf(given) : undefined
  if (!Array.isArray(rooms) || rooms.length > DEFAULTS.streamRooms) throw unreadable()
  for (const each of rooms as unknown[]) {
    const [of, named] = Array.isArray(each) ? each as unknown[] : []
    if (!isKnown(named)) throw unreadable()
    if (of === index) return { named }
  }
  return undefined
}

/**
 * Whether the events of a stream have no line with their name: who reads streams with EventSource needs it.
 *
 * @throws Refusal `invalid_message`
 */
export function isUnnamed ({ events }: Query): boolean {
  if (events === undefined || events === 'named') return false
  if (events === 'unnamed') return true
  throw new Refusal('invalid_message', { message: 'events must be named or unnamed' })
}

function jsonOf (text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function unreadable (): Refusal {
  return new Refusal('invalid_message', { message: 'known must be JSON of [index, [[event, key, length, check], ...]]' })
}

function numberOf (value: unknown): number | undefined {
  if (value === undefined) return undefined
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : undefined
  if (number === undefined) throw new Refusal('invalid_message', { message: 'last must be a whole number, 0 or more' })
  return number
}

/** Reads `at=<index of the room in the URL, or @all or @user>:<epoch>:<offset>`: a position without a cursor. */
function positionOf (at: unknown, index: number, name: string): Position | undefined {
  if (at === undefined) return undefined
  const builtIn = name === ALL ? '@all' : name.startsWith('@user/') ? '@user' : undefined
  for (const each of Array.isArray(at) ? at as unknown[] : [at]) {
    const [which, epoch = '', text = ''] = String(each).split(':')
    const offset = Number(text)
    if (!EPOCH.test(epoch) || !/^\d{1,16}$/.test(text) || !isOffset(offset)) {
      throw new Refusal('invalid_message', { message: 'at must be <room>:<epoch>:<offset>' })
    }
    if (which === String(index) || which === builtIn) return { epoch, offset }
  }
  return undefined
}
