import { unknownKey } from '../errors/explain.js'
import { REALTIME_ERR_OPTIONS, REALTIME_ERR_TARGET } from '../errors/misuse.js'
import { unreadable } from '../errors/unreadable.js'
import { BROADCAST_OPTIONS, callOptions, stringOption } from '../options/call-values.js'
import type { PublishOptions } from '../rooms/publications.js'
import { roomOfUser } from '../rooms/built-in.js'
import { leftOut } from '../rooms/left-out.js'
import { nameOf } from '../rooms/room-name.js'
import type { Meant } from './targets.js'

type Fields = Readonly<Record<string, unknown>>

/** @throws REALTIME_ERR_TARGET for one that cannot be read */
function read (target: unknown): Fields {
  if (typeof target !== 'object' || target === null) return {}
  const fault = unreadable(target)
  if (fault !== undefined) throw new REALTIME_ERR_TARGET(`a target cannot be read: ${fault}; give a plain object`)
  return target as Fields
}

/**
 * Reads a target of a call.
 *
 * @throws REALTIME_ERR_TARGET for one that cannot be read, that lost a field, or has one that is misspelt: what is left
 *   of it means others
 */
function fieldsOf (target: unknown, call: string, known: readonly string[]): Fields {
  const fields = read(target)
  const strange = unknownKey(fields, known, `part of a target of ${call}`)
  if (strange !== undefined) throw new REALTIME_ERR_TARGET(strange)
  for (const name of known) {
    if (fields[name] !== undefined || !Object.hasOwn(fields, name)) continue
    throw new REALTIME_ERR_TARGET(`${name} of a target is undefined; leave the field away to mean all that the others name`)
  }
  return fields
}

/** What a target is named by. */
const ONE = ['user', 'connection']
const GROUP = [...ONE, 'room']
const REVOKED = [...GROUP, 'tokenId']

/** @throws REALTIME_ERR_OPTIONS */
export function graceOption (options: unknown): boolean {
  const { grace = false } = callOptions(options, 'isOnline', ['grace'])
  if (typeof grace !== 'boolean') {
    throw new REALTIME_ERR_OPTIONS(`grace of isOnline is true or false, got ${typeof grace}`)
  }
  return grace
}

/**
 * @param more options that are read elsewhere
 * @throws REALTIME_ERR_OPTIONS, REALTIME_ERR_ROOM
 */
export function publishOptions (options: unknown, more: readonly string[] = []): PublishOptions {
  const { except, idempotencyKey } = callOptions(options, 'a broadcast', [...BROADCAST_OPTIONS, ...more])
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
export function checkTarget (target: unknown, call: string): Meant { return oneOf(fieldsOf(target, call, ONE)) }

/**
 * Reads the target of a question, which may name the room of its event.
 *
 * @throws REALTIME_ERR_TARGET
 */
export function checkAsked (target: unknown): Meant { return oneOf(fieldsOf(target, 'request', GROUP)) }

function oneOf ({ user, connection }: Fields): Meant {
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
export function checkGroup (target: unknown, call: string): Meant { return groupOf(fieldsOf(target, call, GROUP)) }

function groupOf ({ user, connection, room }: Fields): Meant {
  if (room === undefined) return oneOf({ user, connection })
  checkOne({ user, connection, room })
  return { of: nameOf(room) }
}

/**
 * Reads the target of a close: one of these, or a room by its name or address.
 *
 * @throws REALTIME_ERR_TARGET, REALTIME_ERR_ROOM
 */
export function checkClosed (target: unknown): Meant {
  const { user, connection, room, name } = read(target)
  const isRoom = typeof target === 'string' ||
    (typeof name === 'string' && user === undefined && connection === undefined && room === undefined)
  return isRoom ? { of: nameOf(target) } : checkGroup(target, 'close')
}

/** What is revoked: access of the target or the token, or one room of the user. */
export type Revoked = Meant & { readonly tokenId?: string, readonly room?: string }

/** @throws REALTIME_ERR_TARGET, REALTIME_ERR_ROOM */
export function checkRevoked (target: unknown): Revoked {
  const { tokenId, user, connection, room } = fieldsOf(target, 'revoke', REVOKED)
  if (tokenId === undefined) {
    if (room === undefined || user === undefined || connection !== undefined) return groupOf({ user, connection, room })
    return { ...oneOf({ user }), room: nameOf(room) }
  }
  if (typeof tokenId !== 'string' || tokenId === '') {
    throw new REALTIME_ERR_TARGET('tokenId is the jti of a token, a non-empty string')
  }
  checkOne({ tokenId, user, connection, room })
  return { tokenId }
}
