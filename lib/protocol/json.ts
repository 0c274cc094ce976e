import { parse } from 'secure-json-parse'
import { MAX_DEPTH } from './frames.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * Whether brackets nest deeper than `limit`. It runs before JSON.parse, because a recursive consumer of a deep value
 * (JSON.stringify, a schema) overflows the stack near depth 4 000 and parsing 1 MiB of brackets takes seconds.
 */
export function isDeeperThan (text: string, limit: number): boolean {
  if (text.length <= limit) return false
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i)
    if (char === QUOTE) {
      for (i++; i < text.length && text.charCodeAt(i) !== QUOTE; i++) if (text.charCodeAt(i) === BACKSLASH) i++
    } else if (char === 0x7b || char === 0x5b) {
      if (++depth > limit) return true
    } else if (char === 0x7d || char === 0x5d) depth--
  }
  return false
}

/**
 * Parses JSON that a peer sent.
 *
 * @throws Error with a message for the peer when the text is not JSON, nests deeper than `MAX_DEPTH`, or has a
 *   `__proto__` or `constructor.prototype` key
 */
export function parseJson (text: string): unknown {
  if (isDeeperThan(text, MAX_DEPTH)) throw new Error(`nested deeper than ${MAX_DEPTH} levels`)
  return parse(text, null, { protoAction: 'error', constructorAction: 'error' })
}
