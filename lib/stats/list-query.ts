import { Refusal } from '../errors/refusal.js'
import type { Place, Selection } from './selection.js'

/** By what connections can be sorted; each value is of one type on all nodes. */
export const CONNECTION_SORTS = {
  user: 'string',
  transport: 'string',
  address: 'string',
  age: 'number',
  latency: 'number',
  waiting: 'number',
  in: 'number',
  out: 'number',
  rooms: 'number'
} as const

/** By what rooms can be sorted. */
export const ROOM_SORTS = { name: 'string', definition: 'string', members: 'number', offset: 'number' } as const

export type ConnectionSort = keyof typeof CONNECTION_SORTS
export type RoomSort = keyof typeof ROOM_SORTS

/** One page of a list, as it is asked for. */
export interface ListQuery<S extends string> {
  readonly sort: S
  readonly isDescending: boolean
  readonly limit: number
  readonly after?: Place | undefined
  /** Part of a name, in lower case. */
  readonly search?: string | undefined
  /** Only the connections of this user, in this room, of this transport. */
  readonly user?: string | undefined
  readonly room?: string | undefined
  readonly transport?: string | undefined
}

/** Rows of one page at most: with the longest names a page still fits into one message of any broker. */
export const MAX_ROWS = 200
const ROWS = 50
const MAX_TEXT = 1_024

type Fields = Readonly<Record<string, unknown>>

/** Whether a value of another node is an object. */
export function isFields (value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isText (value: unknown): value is string { return typeof value === 'string' && value.length <= MAX_TEXT }

function isPlace (value: unknown, type: 'string' | 'number'): value is Place {
  if (!isFields(value) || !isText(value.node)) return false
  const isValue = type === 'string' ? isText(value.value) : typeof value.value === 'number'
  return isValue && (isText(value.id) || typeof value.id === 'number')
}

/** Whether a value of another node is a query that this node can answer. */
export function isListQuery<S extends string> (
  value: unknown,
  sorts: Readonly<Record<S, 'string' | 'number'>>
): value is ListQuery<S> {
  if (!isFields(value) || typeof value.sort !== 'string' || !Object.hasOwn(sorts, value.sort)) return false
  const { isDescending, limit, after, search, user, room, transport } = value
  return typeof isDescending === 'boolean' &&
    Number.isInteger(limit) && (limit as number) >= 1 && (limit as number) <= MAX_ROWS &&
    (after === undefined || isPlace(after, sorts[value.sort as S])) &&
    [search, user, room, transport].every((text) => text === undefined || isText(text))
}

/** Whether a value of another node is a page of a list. */
export function isSelection (value: unknown, type: 'string' | 'number'): value is Selection<object> {
  if (!isFields(value) || !Array.isArray(value.rows) || value.rows.length > MAX_ROWS) return false
  return Number.isSafeInteger(value.total) && Number.isSafeInteger(value.rest) &&
    value.rows.every((row) => isFields(row) && isPlace(row.place, type) && isFields(row.view))
}

/** Words of a query that ask for a sorted list, in place of the plain one. */
const WORDS = ['sort', 'order', 'search', 'user', 'room', 'transport', 'node'] as const

/** Whether a request asks for a list of all nodes, in an order. */
export function asksForOrder (query: unknown): boolean {
  return WORDS.some((word) => (query as Fields)[word] !== undefined)
}

function textOf (value: unknown, name: string): string | undefined {
  if (value === undefined || value === '') return undefined
  if (!isText(value)) throw new Refusal('invalid_message', { message: `${name} must be one text of at most ${MAX_TEXT} characters` })
  return value
}

/**
 * Reads what a request asks for.
 *
 * @throws Refusal `invalid_message`
 */
export function listQuery<S extends string> (
  query: unknown,
  sorts: Readonly<Record<S, 'string' | 'number'>>,
  fallback: S
): ListQuery<S> {
  const { sort = fallback, order = 'asc', limit = String(ROWS), after, search, user, room, transport } = query as Fields
  if (typeof sort !== 'string' || !Object.hasOwn(sorts, sort)) {
    throw new Refusal('invalid_message', { message: `sort must be one of ${Object.keys(sorts).join(', ')}` })
  }
  if (order !== 'asc' && order !== 'desc') throw new Refusal('invalid_message', { message: 'order must be asc or desc' })
  if (typeof limit !== 'string' || !/^[1-9]\d{0,8}$/.test(limit)) {
    throw new Refusal('invalid_message', { message: 'limit must be a whole number' })
  }
  const place = after === undefined ? undefined : placeOf(after, sorts[sort as S])
  return {
    sort: sort as S,
    isDescending: order === 'desc',
    limit: Math.min(Number(limit), MAX_ROWS),
    after: place,
    search: textOf(search, 'search')?.toLowerCase(),
    user: textOf(user, 'user'),
    room: textOf(room, 'room'),
    transport: textOf(transport, 'transport')
  }
}

/** @throws Refusal `invalid_message` for an `after` that no page has given */
function placeOf (after: unknown, type: 'string' | 'number'): Place {
  try {
    const [value, id, node] = JSON.parse(Buffer.from(after as string, 'base64url').toString()) as unknown[]
    const place = { value, id, node }
    if (isPlace(place, type)) return place
  } catch { /* It is told below. */ }
  throw new Refusal('invalid_message', { message: 'after must be the next of the page before' })
}

/** Writes the `after` of the next page. */
export function afterOf ({ value, id, node }: Place): string {
  return Buffer.from(JSON.stringify([value, id, node])).toString('base64url')
}
