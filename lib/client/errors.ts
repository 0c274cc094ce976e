import type { Retry } from '../protocol/codes.js'
import type { RealtimeError, Transport } from './types.js'

/**
 * What is known of a refusal or an end, from an error frame, from an HTTP body or from this library. `retryAfter` is in
 * milliseconds.
 */
export interface Refused {
  readonly code: string
  readonly message: string
  readonly retry: Retry
  readonly retryAfter?: number | undefined
  readonly room?: string
  readonly cause?: unknown
  readonly transport?: Transport
}

/** @param message empty where nobody is told, because the client reconnects at once */
export function refused (code: string, message: string, retry: Retry = 'never', retryAfter?: number): Refused {
  return { code, message, retry, retryAfter }
}

/** What the platform's own error makes fail for now. */
export function broken (cause: unknown, code = 'unavailable', message = String(cause)): Refused {
  return { ...refused(code, message, 'backoff'), cause }
}

export const NOT_FOUND = refused('not_found', 'no endpoint here', 'backoff')
export const CLOSED = refused('closed', 'client closed')
export const DEAD = refused('heartbeat_timeout', '', 'now')
export const LATE = refused('timeout', 'no answer in time', 'backoff')

export function failure (reason: Refused): RealtimeError {
  return Object.assign(new Error(reason.message), reason) as RealtimeError
}
