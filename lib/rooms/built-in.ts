import { isRoomName } from '../contract/names.js'
import { REALTIME_ERR_TARGET } from '../errors/misuse.js'

/** The room of all connections. */
export const ALL = '@all'
/** First segment of the rooms of users. */
export const USER = '@user'

/**
 * The built-in rooms: every connection is in them from the start, as far as they are declared. No other name begins
 * with `@`.
 */
export type BuiltIn = 'all' | 'user'

/**
 * Names the room of one user, `@user/<id>`; `undefined` for an id that cannot be part of a room's name: empty, `.`,
 * with control characters or half of a surrogate pair, or too long when escaped. No user is admitted with such an id,
 * so every admitted user has a room.
 */
export function userRoom (userId: unknown): string | undefined {
  if (typeof userId !== 'string') return undefined
  try {
    const name = `${USER}/${encodeURIComponent(userId)}`
    return isRoomName(name) ? name : undefined
  } catch {
    return undefined
  }
}

/** @throws REALTIME_ERR_TARGET when the id cannot be part of a room's name */
export function roomOfUser (userId: unknown): string {
  const name = userRoom(userId)
  if (name !== undefined) return name
  throw new REALTIME_ERR_TARGET(
    'a user id is a non-empty string that makes a room\'s name: without control characters or half of a surrogate pair, not ' +
      '"." or "..", and at most 249 bytes after encodeURIComponent'
  )
}
