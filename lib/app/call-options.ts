import { REALTIME_ERR_OPTIONS, REALTIME_ERR_TARGET } from '../errors/misuse.js'
import { unreadable } from '../errors/unreadable.js'
import { callOptions, stringOption } from '../options/call-values.js'
import type { PublishOptions } from '../rooms/publications.js'
import { roomOfUser } from '../rooms/built-in.js'
import { leftOut } from '../rooms/left-out.js'
import { nameOf } from '../rooms/room-name.js'
import type { Meant } from './targets.js'

type Fields = Readonly<Record<string, unknown>>

/** @throws REALTIME_ERR_TARGET for one that cannot be read, or that lost a field: what is left of it means others */
function fieldsOf (target: unknown): Fields {
  if (typeof target !== 'object' || target === null) return {}
  const fault = unreadable(target)
  if (fault !== undefined) throw new REALTIME_ERR_TARGET(`a target cannot be read: ${fault}; give a plain object`)
  const fields = target as Fields
  for (const name of NAMING) {
    if (fields[name] !== undefined || !Object.hasOwn(fields, name)) continue
    throw new REALTIME_ERR_TARGET(`${name} of a target is undefined; leave the field away to mean all that the others name`)
  }
  return fields
}

/** What a target is named by. */
const NAMING = ['user', 'connection', 'room', 'tokenId']

/** @throws REALTIME_ERR_OPTIONS, for another option too: a name that is misspelt would answer another question */
export function graceOption (options: unknown): boolean {
  const given = callOptions(options, 'isOnline')
  const unknown = Object.keys(given).find((name) => name !== 'grace')
  if (unknown !== undefined) throw new REALTIME_ERR_OPTIONS(`isOnline has the option grace alone, got ${unknown}`)
  const { grace = false } = given
  if (typeof grace !== 'boolean') {
    throw new REALTIME_ERR_OPTIONS(`grace of isOnline is true or false, got ${typeof grace}`)
  }
  return grace
}

/** @throws REALTIME_ERR_OPTIONS, REALTIME_ERR_ROOM */
export function publishOptions (options: unknown): PublishOptions {
  const { except, idempotencyKey } = callOptions(options, 'a broadcast')
  return {
    except: leftOut(except),
    once: stringOption(idempotencyKey, 'idempotencyKey of a broadcast')
  }
}

/** @throws REALTIME_ERR_TARGET for several, where more would be meant than was, or all but one left as they are */
function checkOne (target: Fields): void {
  const named = Object.keys(target).filter((name) => target[name] !== undefined)
  if (named.length > 1) throw new REALTIME_ERR_TARGET(`a target names one, not ${named.join(' and ')}`)
}

/** @throws REALTIME_ERR_TARGET */
export function checkTarget (target: unknown): Meant {
  const { user, connection } = fieldsOf(target)
  checkOne({ user, connection })
  if (typeof connection === 'string') return { connection }
  if (typeof user !== 'string') throw new REALTIME_ERR_TARGET('a target is { user: id } or { connection: id }')
  roomOfUser(user)
  return { user }
}

/**
 * Reads a target that may be the members of a room.
 *
 * @throws REALTIME_ERR_TARGET, REALTIME_ERR_ROOM
 */
export function checkGroup (target: unknown): Meant {
  const { user, connection, room } = fieldsOf(target)
  if (room === undefined) return checkTarget(target)
  checkOne({ user, connection, room })
  return { of: nameOf(room) }
}

/**
 * Reads the target of a close: one of these, or a room by its name or address.
 *
 * @throws REALTIME_ERR_TARGET, REALTIME_ERR_ROOM
 */
export function checkClosed (target: unknown): Meant {
  const { user, connection, room, name } = fieldsOf(target)
  const isRoom = typeof target === 'string' ||
    (typeof name === 'string' && user === undefined && connection === undefined && room === undefined)
  return isRoom ? { of: nameOf(target) } : checkGroup(target)
}

/** What is revoked: access of the target or the token, or one room of the user. */
export type Revoked = Meant & { readonly tokenId?: string, readonly room?: string }

/** @throws REALTIME_ERR_TARGET, REALTIME_ERR_ROOM */
export function checkRevoked (target: unknown): Revoked {
  const { tokenId, user, connection, room } = fieldsOf(target)
  if (tokenId === undefined) {
    if (room === undefined || user === undefined || connection !== undefined) return checkGroup(target)
    return { ...checkTarget({ user }), room: nameOf(room) }
  }
  if (typeof tokenId !== 'string' || tokenId === '') {
    throw new REALTIME_ERR_TARGET('tokenId is the jti of a token, a non-empty string')
  }
  checkOne({ tokenId, user, connection, room })
  return { tokenId }
}
