import { blameOf } from './misuse.js'
import { Refusal, refusalOf } from './refusal.js'
import type { Code } from '../protocol/codes.js'

/**
 * What another program is told of errors that `app.rooms` has for its developer. Their messages are for developers, and
 * whoever has a key is one.
 */
const WORDS: ReadonlyMap<unknown, Code> = new Map([
  ['REALTIME_ERR_EVENT', 'invalid_message'],
  ['REALTIME_ERR_OPTIONS', 'invalid_message'],
  ['REALTIME_ERR_TARGET', 'invalid_message'],
  ['REALTIME_ERR_ADAPTER', 'invalid_message'],
  ['REALTIME_ERR_ROOM', 'room_invalid'],
  ['REALTIME_ERR_ROOM_UNKNOWN', 'room_unknown'],
  ['REALTIME_ERR_NOT_READY', 'draining']
])

/** Makes the refusal of any error; `cause` is a fault to log. */
export function refusalOfCall (error: unknown): { readonly refusal: Refusal, readonly cause?: unknown } {
  const word = WORDS.get((error as { code?: unknown } | null)?.code)
  if (word === undefined || !(error instanceof Error)) return refusalOf(error)
  const blame = blameOf(error)
  return { refusal: new Refusal(blame?.word ?? word, { message: error.message, details: blame?.details }) }
}
