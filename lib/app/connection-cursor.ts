import { isNode } from '../adapters/broker/decode-list.js'
import { parseJson } from '../adapters/broker/stored.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { isOffset } from '../protocol/position.js'

/** Behind which connection a page begins. */
export interface ConnectionPlace { readonly node: string, readonly number: number }

const VERSION = 1
const MAX_CURSOR = 256

export function encodePlace ({ node, number }: ConnectionPlace): string {
  return Buffer.from(JSON.stringify([VERSION, node, number])).toString('base64url')
}

/** @throws REALTIME_ERR_OPTIONS for anything that `encodePlace` has not made */
export function decodePlace (cursor: unknown): ConnectionPlace {
  if (typeof cursor === 'string' && cursor.length <= MAX_CURSOR) {
    const parts = parseJson(String(Buffer.from(cursor, 'base64url')))
    const [version, node, number, ...more] = Array.isArray(parts) ? parts as unknown[] : []
    if (version === VERSION && isNode(node) && isOffset(number) && more.length === 0) return { node, number }
  }
  throw new REALTIME_ERR_OPTIONS('cursor of connections is the cursor of the page before')
}
