import { blaming, REALTIME_ERR_EVENT, REALTIME_ERR_SCHEMA } from '../errors/misuse.js'
import { whyUnreadable } from '../errors/unreadable.js'
import type { Parsed, Parser, Validator, Violation } from '../protocol/checker.js'
import { uncarried } from '../protocol/standard-schema.js'
import { describe } from './violations.js'

/**
 * Checks a value by a schema that may change it, where there is no time to wait.
 *
 * @param what is checked, for the error
 * @throws REALTIME_ERR_SCHEMA for a schema whose check is asynchronous
 */
export function parseNow (schema: Parser, value: unknown, what: string): Parsed {
  const parsed = schema.parse(value)
  if (!(parsed instanceof Promise)) return parsed
  // What comes of it is of no use here, a failure of it neither.
  parsed.catch(() => {})
  throw new REALTIME_ERR_SCHEMA(
    `the schema of ${what} is checked asynchronously, which only schemas of messages and their replies may be: check it before, or declare a schema that answers at once`
  )
}

/**
 * Makes of a value what is sent in its place.
 *
 * @throws REALTIME_ERR_EVENT for a value that does not fit, or of which the schema has made what JSON cannot carry
 */
export function sendable (parsed: Parsed, what: string): unknown {
  if (parsed.violations !== undefined) throw misfit(parsed.violations, what)
  const fault = parsed.value === undefined ? undefined : uncarried(parsed.value)
  if (fault === undefined) return parsed.value
  throw new REALTIME_ERR_EVENT(
    `${what} cannot be sent as its schema has made it: ${describe([fault])}; let the schema make strings, numbers and plain objects`
  )
}

function misfit (violations: Violation[], what: string): Error {
  return blaming(new REALTIME_ERR_EVENT(`${what} does not fit its schema: ${describe(violations)}`), {
    word: 'invalid_message',
    details: violations
  })
}

/**
 * Checks what the application sends, and gives what goes out: the value itself, but for schemas that change values.
 *
 * @param isChecked whether values are checked that their schemas leave as they are
 * @param what is sent, and of which room; they are joined for an error alone
 * @throws REALTIME_ERR_EVENT for a value that does not fit, or cannot be read
 */
export function outgoing (schema: Validator, value: unknown, isChecked: boolean, what: string, room: string): unknown {
  if (schema.parse !== undefined) {
    const whole = `${what} of "${room}"`
    return sendable(parseNow(schema, value, whole), whole)
  }
  const violations = isChecked ? violationsOf(schema, value, what, room) : undefined
  if (violations !== undefined) throw misfit(violations, `${what} of "${room}"`)
  return value
}

function violationsOf (
  schema: Exclude<Validator, Parser>,
  value: unknown,
  what: string,
  room: string
): Violation[] | undefined {
  try {
    return schema.check(value) ? undefined : schema.violations(value)
  } catch (error) {
    throw new REALTIME_ERR_EVENT(`${what} of "${room}" cannot be read: ${whyUnreadable(error)}; give plain data`)
  }
}

/**
 * Makes the JSON of what the application gives.
 *
 * @param what it is, for the error
 * @throws REALTIME_ERR_EVENT for what JSON cannot express: a `bigint`, a cycle, a getter or a `toJSON` that throws
 */
export function jsonOf (value: unknown, what: string): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (error) {
    throw new REALTIME_ERR_EVENT(`${what} is no JSON value: ${whyUnreadable(error)}; give plain data`)
  }
}

/**
 * Gives what the application gives as JSON carries it, apart from what the application has and may change.
 *
 * @param what it is, for the error
 * @throws REALTIME_ERR_EVENT as `jsonOf`
 */
export function takenOf (value: unknown, what: string): unknown {
  if (value === undefined || typeof value === 'string' || typeof value === 'boolean') return value
  const text = jsonOf(value, what)
  return text === undefined ? undefined : JSON.parse(text) as unknown
}
