import { REALTIME_ERR_OPTIONS, REALTIME_ERR_TARGET } from '../errors/misuse.js'
import type { Target } from '../types/rooms.js'
import type { PublishOptions } from '../rooms/publications.js'
import { roomOfUser } from '../rooms/built-in.js'

type Fields = Readonly<Record<string, unknown>>

const NONE: Fields = Object.freeze({})

/**
 * Reads the options of a call, which in JavaScript may be any value.
 *
 * @throws REALTIME_ERR_OPTIONS
 */
export function callOptions (options: unknown, call: string): Fields {
  if (options === undefined) return NONE
  if (typeof options !== 'object' || options === null) {
    throw new REALTIME_ERR_OPTIONS(`options of ${call} are an object`)
  }
  return options as Fields
}

/** @throws REALTIME_ERR_OPTIONS */
export function stringOption (value: unknown, path: string): string | undefined {
  if (value !== undefined && typeof value !== 'string') {
    throw new REALTIME_ERR_OPTIONS(`${path} is a string, got ${typeof value}`)
  }
  return value
}

/** @throws REALTIME_ERR_OPTIONS */
export function publishOptions (options: unknown): PublishOptions {
  const { except, idempotencyKey } = callOptions(options, 'a broadcast')
  const connection = stringOption(except, 'except of a broadcast')
  return {
    except: connection === undefined ? undefined : { connection },
    once: stringOption(idempotencyKey, 'idempotencyKey of a broadcast')
  }
}

/** @throws REALTIME_ERR_TARGET */
export function checkTarget (target: unknown): Target {
  const { user, connection } = (typeof target === 'object' && target !== null ? target : NONE) as Fields
  if (typeof connection === 'string' && user === undefined) return { connection }
  if (typeof user !== 'string') throw new REALTIME_ERR_TARGET('a target is { user: id } or { connection: id }')
  roomOfUser(user)
  return { user }
}

/** @throws REALTIME_ERR_TARGET */
export function checkRevoked (target: unknown): Target | { readonly tokenId: string } {
  const { tokenId } = (typeof target === 'object' && target !== null ? target : NONE) as Fields
  if (tokenId === undefined) return checkTarget(target)
  if (typeof tokenId !== 'string' || tokenId === '') {
    throw new REALTIME_ERR_TARGET('tokenId is the jti of a token, a non-empty string')
  }
  return { tokenId }
}
