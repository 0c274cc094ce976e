import { parseJson, isFields } from '../adapters/broker/stored.js'
import type { Refusal } from '../errors/refusal.js'
import type { ErrorData } from '../protocol/frames.js'

/** The outcome of a message: its ack's data, or its error with the status that HTTP shows. */
export type Outcome = { readonly data?: unknown } | { readonly error: ErrorData, readonly status: number }

export function refusedBy ({ data, statusCode }: Refusal): Outcome { return { error: data, status: statusCode } }

const RETRIES: ReadonlySet<unknown> = new Set<ErrorData['retry']>(['never', 'now', 'backoff', 'refresh'])

function isError (value: unknown): value is ErrorData {
  if (!isFields(value)) return false
  const { code, message, retry, retryAfter } = value
  return typeof code === 'string' && typeof message === 'string' && RETRIES.has(retry) &&
    (retryAfter === undefined || typeof retryAfter === 'number')
}

/**
 * Reads a stored outcome, perhaps of another version of this package.
 *
 * @returns `undefined` for a text that is none
 */
export function parseOutcome (text: string): Outcome | undefined {
  const value = parseJson(text)
  if (!isFields(value)) return undefined
  const { error, status, data } = value
  if (error === undefined) return data === undefined ? {} : { data }
  return isError(error) && Number.isInteger(status) && (status as number) >= 400 && (status as number) < 600
    ? { error, status: status as number }
    : undefined
}
