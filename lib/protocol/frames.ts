import type { Code, Retry } from './codes.js'
import type { KnownText } from './part.js'
import type { Position } from './position.js'
import { isOffset, isPosition } from './position.js'
import { isTraceparent } from './traceparent.js'

/** Frame types of the protocol itself. A contract cannot declare a message or an event of these names. */
export const RESERVED_TYPES: ReadonlySet<string> = new Set([
  'join', 'leave', 'ping', 'pong', 'auth', 'members', 'history', 'read', 'ack',
  'welcome', 'error', 'presence', 'joined', 'left', 'gap', 'removed', 'drain', 'open', 'realtime'
])

/** Subprotocol of the WebSocket handshake and version of the frames. */
export const PROTOCOL = 'realtime.v1'

export const MAX_ID = 128
/** Deepest nesting of arrays and objects in a message. */
export const MAX_DEPTH = 32

export interface JoinCommand {
  readonly type: 'join'
  readonly room: string
  readonly id?: string
  readonly since?: Position
  readonly last?: number
  readonly connection?: string
  readonly known?: readonly KnownText[]
}
export interface LeaveCommand { readonly type: 'leave', readonly room: string, readonly id?: string }
export interface PingCommand { readonly type: 'ping' | 'pong', readonly id?: string }
export interface AuthCommand { readonly type: 'auth', readonly ticket: string, readonly id?: string }
export interface MembersCommand { readonly type: 'members', readonly room: string, readonly id?: string }
export interface PresenceCommand {
  readonly type: 'presence'
  readonly room: string
  readonly id?: string
  readonly data: unknown
}
export interface HistoryCommand {
  readonly type: 'history'
  readonly room: string
  readonly id?: string
  readonly since?: Position
  readonly limit?: number
}
export interface ReadCommand {
  readonly type: 'read'
  readonly room: string
  readonly id?: string
  readonly event: string
  readonly key: string
}
/** What a client answers to an event that asks for more than an ack: data, or that it refuses. */
export interface ClientAnswer {
  readonly data?: unknown
  readonly error?: { readonly code: string, readonly message: string }
}
export interface AckCommand extends ClientAnswer { readonly type: 'ack', readonly id: string }
export interface MessageCommand {
  readonly type: 'message'
  readonly name: string
  readonly room: string
  readonly id?: string
  readonly data: unknown
  /** W3C trace context of the client. */
  readonly traceparent?: string
}
export type Command =
  | JoinCommand
  | LeaveCommand
  | PingCommand
  | AuthCommand
  | MembersCommand
  | PresenceCommand
  | HistoryCommand
  | ReadCommand
  | AckCommand
  | MessageCommand

/**
 * Why a frame is not a command. `id` and `room` are given as far as they could be read, so that the sender can match
 * the error.
 */
export interface InvalidFrame {
  readonly fault: string
  readonly id?: string
  readonly room?: string
  /** Whether it may have been meant as the answer to a question: an `ack`, or what is no object at all. */
  readonly isAnswer?: true
}

/** The body of every refusal: the data of an `error` frame and, with more fields around it, an HTTP answer. */
export interface ErrorData {
  /** A word of the table of codes, or the application's own. */
  readonly code: string
  /** What went wrong, for a person. */
  readonly message: string
  /** Whether the same may be tried again. */
  readonly retry: Retry
  /** Milliseconds to wait before the next attempt. */
  readonly retryAfter?: number
  /** What does not fit a schema. */
  readonly details?: ReadonlyArray<{
    /** Where in the data, as a JSON pointer. */
    readonly path: string
    /** What is wrong there. */
    readonly message: string
  }>
}

export interface HttpError extends ErrorData {
  readonly statusCode: number
  readonly error: string
  readonly code: Code | string
  readonly room?: string
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What `parseJson` has refused. */
export function noJson (error: unknown): InvalidFrame {
  return { fault: `not acceptable JSON: ${(error as Error).message}`, isAnswer: true }
}

/**
 * Reads a frame of a client once; all code behind it works on the typed command.
 *
 * @param json a parsed JSON value of any shape
 */
export function parseCommand (json: unknown): Command | InvalidFrame {
  if (!isRecord(json)) return { fault: 'a frame is a JSON object', isAnswer: true }
  const { type, data } = json
  const named: { id?: string, room?: string } = {}
  if (typeof json.room === 'string') named.room = json.room
  if (json.id !== undefined) {
    if (typeof json.id !== 'string' || json.id === '' || json.id.length > MAX_ID) {
      const answer = type === 'ack' ? { isAnswer: true } as const : {}
      return { fault: `id must be a string of 1 to ${MAX_ID} characters`, ...named, ...answer }
    }
    named.id = json.id
  }
  if (typeof type !== 'string' || type === '') return { fault: 'type must be a non-empty string', ...named }
  if (json.room !== undefined && typeof json.room !== 'string') return { fault: 'room must be a string', ...named }
  const id = named.id === undefined ? {} : { id: named.id }
  if (type === 'ping' || type === 'pong') return { type, ...id }
  if (type === 'ack') {
    if (named.id === undefined) return { fault: 'ack needs the id of the event', isAnswer: true }
    const error = answeredError(json.error)
    if (error === null) return { fault: 'error of an ack is { code?, message? }', ...named, isAnswer: true }
    return {
      type,
      id: named.id,
      ...(data === undefined ? {} : { data }),
      ...(error === undefined ? {} : { error })
    }
  }
  if (type === 'auth') {
    if (!isRecord(data) || typeof data.ticket !== 'string' || data.ticket === '') {
      return { fault: 'auth needs data.ticket', ...named }
    }
    return { type, ticket: data.ticket, ...id }
  }
  const room = named.room
  if (room === undefined) return { fault: `${type} needs a room`, ...named }
  if (type === 'leave' || type === 'members') return { type, room, ...id }
  if (type === 'read') {
    if (!isRecord(data) || typeof data.event !== 'string' || typeof data.key !== 'string') {
      return { fault: 'read needs data.event and data.key, two strings', ...named }
    }
    return { type, room, event: data.event, key: data.key, ...id }
  }
  if (type === 'presence') return { type, room, data, ...id }
  if (type !== 'join' && type !== 'history') {
    if (RESERVED_TYPES.has(type)) return { fault: `${type} is a frame of the server`, ...named }
    const { traceparent } = json
    const message: { -readonly [K in keyof MessageCommand]: MessageCommand[K] } = { type: 'message', name: type, room, data }
    if (named.id !== undefined) message.id = named.id
    if (isTraceparent(traceparent)) message.traceparent = traceparent
    return message
  }
  if (data !== undefined && !isRecord(data)) return { fault: 'data must be an object', ...named }
  const { since, last, limit, connection, known } = data ?? {}
  if (since !== undefined && !isPosition(since)) {
    return { fault: 'data.since must be { epoch, offset } as the server gave it', ...named }
  }
  const from = since === undefined ? {} : { since: { epoch: since.epoch, offset: since.offset } }
  if (type === 'history') {
    if (limit !== undefined && !isOffset(limit)) {
      return { fault: 'data.limit must be a whole number, 0 or more', ...named }
    }
    return { type, room, ...id, ...from, ...(limit === undefined ? {} : { limit }) }
  }
  if (last !== undefined && !isOffset(last)) return { fault: 'data.last must be a whole number, 0 or more', ...named }
  if (connection !== undefined && typeof connection !== 'string') {
    return { fault: 'data.connection must be a string', ...named }
  }
  if (known !== undefined && !isKnown(known)) {
    return { fault: `data.known must be at most ${MAX_KNOWN} of [event, key, length, check]`, ...named }
  }
  return {
    type,
    room,
    ...id,
    ...from,
    ...(last === undefined ? {} : { last }),
    ...(connection === undefined ? {} : { connection }),
    ...(known === undefined ? {} : { known })
  }
}

/** Texts that a client may say to have when it enters a room. */
export const MAX_KNOWN = 16

/** Whether a value is what a client may say that it has of the texts of a room. */
export function isKnown (value: unknown): value is readonly KnownText[] {
  return Array.isArray(value) && value.length <= MAX_KNOWN && (value as unknown[]).every((each) => {
    if (!Array.isArray(each)) return false
    const [event, key, length, check] = each as unknown[]
    return typeof event === 'string' && typeof key === 'string' && isOffset(length) && isOffset(check)
  })
}

/** Characters of the code and of the message of a client that refuses to answer. */
const MAX_CODE = 64
const MAX_REASON = 1_024

/** Reads why a client refuses to answer; `null` for what says no such thing. */
export function answeredError (error: unknown): ClientAnswer['error'] | null {
  if (error === undefined) return undefined
  if (!isRecord(error)) return null
  const { code = 'refused', message = 'the client refuses to answer' } = error
  if (typeof code !== 'string' || typeof message !== 'string') return null
  return { code: code.slice(0, MAX_CODE), message: message.slice(0, MAX_REASON) }
}
