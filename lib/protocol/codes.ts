/**
 * What a client may do after a refusal or an end: try again `now` (with jitter), with `backoff`, after it has fetched a
 * fresh credential (`refresh`), or `never` with the same request.
 */
export type Retry = 'now' | 'backoff' | 'refresh' | 'never'

interface Row { readonly status: number, readonly close?: number, readonly retry: Retry, readonly message: string }

/**
 * One table for frames, HTTP bodies, close codes, stats and the client. After a 44xx code the client may come back, a
 * 45xx code is final; the others are the codes of RFC 6455 7.4.1 and its registry. Where `close` is missing, no
 * WebSocket ends with that code.
 */
const table = {
  unauthorized: { status: 401, close: 4401, retry: 'refresh', message: 'a valid credential is needed' },
  token_expired: { status: 401, close: 4401, retry: 'refresh', message: 'the credential has expired' },
  forbidden: { status: 403, close: 4503, retry: 'never', message: 'not allowed' },
  revoked: { status: 403, close: 4503, retry: 'never', message: 'access was revoked' },
  origin_refused: { status: 403, retry: 'never', message: 'this origin is not allowed' },
  room_unknown: { status: 404, retry: 'never', message: 'no such room' },
  room_invalid: { status: 400, retry: 'never', message: 'not a room name' },
  invalid_message: { status: 400, retry: 'never', message: 'the message is not valid' },
  message_unknown: { status: 400, retry: 'never', message: 'the room has no such message' },
  not_joined: { status: 400, retry: 'never', message: 'join the room first' },
  duplicate: { status: 409, retry: 'never', message: 'this id was used for another message' },
  message_too_large: { status: 413, close: 1009, retry: 'never', message: 'the message is too large' },
  protocol: { status: 400, close: 4500, retry: 'never', message: 'not the realtime.v1 protocol' },
  server_full: { status: 503, close: 1013, retry: 'backoff', message: 'the server is full' },
  room_full: { status: 503, close: 1013, retry: 'backoff', message: 'the room is full' },
  unavailable: { status: 503, close: 1013, retry: 'backoff', message: 'temporarily unavailable' },
  user_limit: { status: 429, close: 4509, retry: 'never', message: 'too many connections of this user' },
  replaced: { status: 409, close: 4509, retry: 'never', message: 'replaced by a newer connection' },
  address_limit: { status: 429, close: 4429, retry: 'backoff', message: 'too many connections from this address' },
  rate_limited: { status: 429, close: 4429, retry: 'backoff', message: 'too many messages' },
  room_limit: { status: 409, retry: 'never', message: 'too many rooms on this connection' },
  draining: { status: 503, close: 1001, retry: 'now', message: 'the server is shutting down' },
  slow_consumer: { status: 503, close: 4410, retry: 'backoff', message: 'reads too slowly' },
  heartbeat_timeout: { status: 408, close: 4408, retry: 'now', message: 'no answer to heartbeats' },
  timeout: { status: 504, retry: 'backoff', message: 'no answer in time' },
  internal: { status: 500, close: 1011, retry: 'backoff', message: 'internal error' }
} as const satisfies Record<string, Row>

/** A word of the table of codes. */
export type Code = keyof typeof table
/**
 * Why a connection has ended: a code, `left` when its peer said goodbye, or `gone` when it disappeared without a word,
 * or its stream has reached its age and is opened anew.
 */
export type EndReason = Code | 'left' | 'gone'

export const codes: Readonly<Record<Code, Row>> = table

/**
 * Whether nobody comes back after such an end. After `replaced` the user is here by a newer connection, which may still
 * be entering its rooms, and one message that was too large ends a connection but not its client.
 */
export function isForGood (reason: EndReason): boolean {
  return isCode(reason) && table[reason].retry === 'never' && reason !== 'replaced' && reason !== 'message_too_large'
}

export function isCode (value: unknown): value is Code {
  return typeof value === 'string' && Object.hasOwn(table, value)
}
