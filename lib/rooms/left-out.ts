import { isRoomName } from '../contract/names.js'
import { unknownKey } from '../errors/explain.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { unreadable } from '../errors/unreadable.js'
import { isId, MAX_LEFT_OUT, type Except, type LeftOut } from '../protocol/except.js'
import { nameOf } from './room-name.js'

const FIX = 'except of a broadcast is the id of a connection, { connection }, { user } or { room }, or a list of such'

/** What an entry is named by. */
const NAMING = ['connection', 'user', 'room']

/**
 * Reads the option `except` of a broadcast. A text alone is often a header of the request, so that a caller decides
 * what it is: one that can be no id leaves out nobody, as the id of a connection that has gone does.
 *
 * @param own the sender of a message: its connection is paired with its user, so that nobody else is silenced
 * @throws REALTIME_ERR_OPTIONS, REALTIME_ERR_ROOM
 */
export function leftOut (
  given: unknown,
  own?: { readonly sender: string | undefined, readonly userId: string }
): Except | undefined {
  if (given === undefined) return undefined
  if (typeof given === 'string') {
    if (!isId(given)) return undefined
    return own !== undefined && given === own.sender ? { user: own.userId, connection: given } : { connection: given }
  }
  const list: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (list.length > MAX_LEFT_OUT) {
    throw new REALTIME_ERR_OPTIONS(`except of a broadcast has at most ${MAX_LEFT_OUT} entries; use a room for more`)
  }
  return list.length === 0 ? undefined : { others: list.map(entryOf) }
}

function entryOf (given: unknown): LeftOut {
  if (isId(given)) return { connection: given }
  if (typeof given !== 'object' || given === null || unreadable(given) !== undefined) throw new REALTIME_ERR_OPTIONS(FIX)
  const strange = unknownKey(given, NAMING, 'part of except of a broadcast')
  if (strange !== undefined) throw new REALTIME_ERR_OPTIONS(strange)
  const { connection, user, room } = given as LeftOut
  if ([connection, user, room].filter((each) => each !== undefined).length !== 1) throw new REALTIME_ERR_OPTIONS(FIX)
  if (room !== undefined) {
    const name = nameOf(room)
    if (isRoomName(name)) return { room: name }
  } else {
    const id: unknown = user ?? connection
    if (isId(id)) return user === undefined ? { connection: id } : { user: id }
  }
  throw new REALTIME_ERR_OPTIONS(FIX)
}
