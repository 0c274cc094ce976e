import type { ControlMessage, OlderConnection } from '../adapter.js'
import { isFields } from './stored.js'
import { isDate, isName, isRoom } from './values.js'

/** Connections of one user that a node names: those behind them are not the oldest. */
export const OLDER = 8
/** Rooms that are asked for. */
export const OLDER_ROOMS = 128

type Fields = Readonly<Record<string, unknown>>

function areRooms (value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= OLDER_ROOMS && value.every(isRoom)
}

/** Reads a question for the oldest connections of a user; `undefined` for what is none. */
export function oldestOf ({ id, user, rooms }: Fields): Extract<ControlMessage, { readonly type: 'oldest' }> | undefined {
  return isName(id) && isName(user) && areRooms(rooms) ? { type: 'oldest', id, user, rooms } : undefined
}

/** Reads an answer to that; `undefined` for what is none. */
export function olderOf ({ id, connections }: Fields): Extract<ControlMessage, { readonly type: 'older' }> | undefined {
  if (!isName(id) || !Array.isArray(connections) || connections.length > OLDER) return undefined
  const read: OlderConnection[] = []
  for (const each of connections as unknown[]) {
    if (!isFields(each) || !isName(each.id) || !isDate(each.since) || !areRooms(each.rooms)) return undefined
    read.push({ id: each.id, since: each.since, rooms: each.rooms })
  }
  return { type: 'older', id, connections: read }
}
