import { Type } from '@sinclair/typebox'
import { isRoomName } from '../contract/names.js'
import { explain } from '../errors/explain.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import type { ApiKey, ApiOptions } from '../types/api-options.js'

const closed = { additionalProperties: false }
/** Characters of a key at least. */
const LEAST = 32
/** Characters of a name at most: it stands in each log line, and is a label of metrics. */
const NAME = 64

// Keys and names are checked apart, by errors that show neither: somebody may have taken the one for the other.
export const apiSchema = Type.Object({
  keys: Type.Array(
    Type.Object({
      key: Type.Unknown(),
      name: Type.Unknown(),
      rooms: Type.Array(Type.String(), { minItems: 1 }),
      may: Type.Array(
        Type.Union((['publish', 'read', 'revoke', 'members', 'clear'] as const).map((scope) => Type.Literal(scope))),
        { minItems: 1 }
      )
    }, closed),
    { minItems: 1 }
  ),
  authorize: Type.Optional(Type.Unknown()),
  rate: Type.Optional(Type.Object(
    { messages: Type.Number({ exclusiveMinimum: 0 }), burst: Type.Integer({ minimum: 1 }) },
    closed
  ))
}, closed)

/**
 * Checks the option `api`.
 *
 * @throws REALTIME_ERR_OPTIONS naming the path and the fix, never a key
 */
export function checkApi (api: ApiOptions): void {
  const fault = explain(apiSchema, veiled(api), 'options.api')
  if (fault !== undefined) throw new REALTIME_ERR_OPTIONS(fault)
  const keys = new Map<string, number>()
  const names = new Map<string, number>()
  for (const [index, { key, name, rooms }] of api.keys.entries()) {
    const path = `options.api.keys.${index}`
    checkKey(key, path)
    checkName(name, path)
    once(keys, key, index, path, 'key', 'make another one with: openssl rand -base64 32')
    once(names, name, index, path, 'name', 'give each key a name of its own')
    for (const room of rooms) checkRoom(room, path)
  }
}

/** The same without what must not be shown. */
function veiled (api: unknown): unknown {
  if (typeof api !== 'object' || api === null) return typeof api
  const { keys } = api as { keys?: unknown }
  if (keys === undefined) return api
  if (!Array.isArray(keys)) return { ...api, keys: typeof keys }
  return {
    ...api,
    keys: keys.map((entry: unknown) => typeof entry === 'object' && entry !== null
      ? Object.fromEntries(Object.entries(entry).map(([name, value]) => [
        name,
        name === 'key' || name === 'name' ? '' : value
      ]))
      : typeof entry)
  }
}

function checkKey (key: ApiKey['key'], path: string): void {
  if (typeof key === 'string' && key.length >= LEAST && /^[!-~]+$/.test(key)) return
  throw new REALTIME_ERR_OPTIONS(
    `${path}.key is a string of ${LEAST} printable ASCII characters at least, without spaces; make one with: openssl rand -base64 32`
  )
}

function checkName (name: ApiKey['name'], path: string): void {
  if (typeof name === 'string' && /^[^\p{C}]+$/u.test(name) && name.length <= NAME) return
  throw new REALTIME_ERR_OPTIONS(
    `${path}.name is a string of 1 to ${NAME} characters, by which logs and metrics call the key: name the program that has it`
  )
}

function once (seen: Map<string, number>, value: string, index: number, path: string, what: string, fix: string): void {
  const before = seen.get(value)
  if (before !== undefined) {
    throw new REALTIME_ERR_OPTIONS(`${path}.${what} is that of options.api.keys.${before} too; ${fix}`)
  }
  seen.set(value, index)
}

function checkRoom (room: string, path: string): void {
  if (isRoomName(room) && room.split('/').every((segment) => segment === '*' || !segment.includes('*'))) return
  throw new REALTIME_ERR_OPTIONS(
    `${path}.rooms: "${room}" is no name of rooms; write segments parted by "/", such as orders/*, where "*" is a whole segment`
  )
}
