import type { Delivery } from '../../contract/types.js'
import { MAX_LEFT_OUT, type Except, type LeftOut } from '../../protocol/except.js'
import { isCode } from '../../protocol/codes.js'
import { answeredError, RESERVED_TYPES } from '../../protocol/frames.js'
import { MAX_FORMER } from '../../protocol/cursor.js'
import { EPOCH, isOffset, type Position } from '../../protocol/position.js'
import { isDeeperThan } from '../../protocol/json.js'
import { isTraceparent } from '../../protocol/traceparent.js'
import type { ControlMessage, PresenceChange } from '../adapter.js'
import { isNode, listedOf, listOf } from './decode-list.js'
import { olderOf, oldestOf } from './decode-older.js'
import { isFields, parseJson } from './stored.js'
import { isDate, isName, isRoom, isText } from './values.js'

/**
 * A message or value of a broker that a decoder refuses. What comes from a broker is input: another application or
 * another version of this package may write there. A decoder refuses unknown forms and omits unknown fields. Each
 * message may carry the version of its form; without one it is the first.
 */
export class Undecodable extends Error {}

/** The newest form that this version reads. A form that only adds fields keeps its number. */
const VERSION = 1
/** The form of an event's head in which it may be a removal. */
export const REMOVAL = 2
/** Characters of one event, more than any `limits.event` is meant for. */
const MAX_EVENT = 16 * 1024 * 1024
/** Nesting of an event's data: `JSON.parse` takes seconds for a megabyte of brackets. */
const MAX_DEPTH = 512
/** Characters of a reason for people. */
const MAX_REASON = 1_024
const TYPE = /^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/
const BREAKS = /[\n\r]/
const DELIVERIES: ReadonlySet<unknown> = new Set<Delivery>(['reliable', 'latest', 'volatile'])
const YEAR = 31_536_000_000

/** The fields that are kept and sent beside an event's data, with short names. */
export interface Head {
  readonly t: string
  readonly s: number
  readonly d?: Delivery | undefined
  readonly k?: string | undefined
  readonly x?: Pick<Except, 'user' | 'connection'> | undefined
  /** Others who are left out; a node that does not know them offers them the event. */
  readonly o?: readonly LeftOut[] | undefined
  readonly a?: string | undefined
  /** The form, where it is not the first. */
  readonly w?: number
  /** Whether it is a removal. */
  readonly r?: boolean
  /** The user with whose presence it ends. */
  readonly u?: string
  /** The trace context of what has published it. */
  readonly p?: string
  /** Of a value that was put back: the version that it had, and its age by then in milliseconds. */
  readonly b?: number
  readonly g?: number
}

function isOptional<T> (
  value: unknown,
  is: (value: unknown) => value is T
): value is T | undefined { return value === undefined || is(value) }
function isKnown (version: unknown, newest = VERSION): boolean {
  return version === undefined || (isOffset(version) && version <= newest)
}

function isExcept (value: unknown): value is { readonly connection: string, readonly user?: string } {
  return isFields(value) && typeof value.connection === 'string' && isOptional(value.user, isText)
}

/** @throws Undecodable */
function leftOutOf (value: unknown): LeftOut[] {
  if (!Array.isArray(value) || value.length > MAX_LEFT_OUT) throw new Undecodable('who is left out')
  return value.map((each: unknown) => {
    const { connection, user, room } = isFields(each) ? each : {}
    if (isName(connection)) return { connection }
    if (isName(user)) return { user }
    if (isRoom(room)) return { room }
    throw new Undecodable('who is left out')
  })
}

/** @throws Undecodable */
export function decodeHead (text: string): Head { return checkHead(parseJson(text)) }

/** @throws Undecodable */
export function checkHead (head: unknown): Head {
  if (!isFields(head) || !isKnown(head.w, head.r === undefined ? VERSION : REMOVAL)) throw new Undecodable('the head of an event')
  const { t, s, d, k, x, o, a, r, u, p, b, g } = head
  if (typeof t !== 'string' || !TYPE.test(t) || RESERVED_TYPES.has(t) || !isOffset(s)) {
    throw new Undecodable('the type or time of an event')
  }
  if ((d !== undefined && !DELIVERIES.has(d)) || !isOptional(k, isString) || !isOptional(x, isExcept) ||
    !isOptional(a, isName) || !isOptional(u, isName)) {
    throw new Undecodable('the delivery of an event')
  }
  if (r !== undefined && (r !== true || d !== 'latest' || k === undefined)) throw new Undecodable('a removal')
  return {
    t,
    s,
    d: d as Delivery | undefined,
    k,
    // A text that names no connection leaves out nobody, and is no reason to lose an event.
    x: x === undefined || !isName(x.connection)
      ? undefined
      : x.user === undefined ? { connection: x.connection } : { user: x.user, connection: x.connection },
    a,
    ...(o === undefined ? {} : { o: leftOutOf(o) }),
    ...(r === true ? { r } : {}),
    ...(u === undefined ? {} : { u }),
    // A wrong trace is no reason to lose an event.
    ...(isTraceparent(p) ? { p } : {}),
    ...(isOffset(b) && isOffset(g) ? { b: checkVersion(b), g } : {})
  }
}

function isString (value: unknown): value is string { return typeof value === 'string' }

/**
 * Checks that data is JSON in one line, because members are sent it as it stands.
 *
 * @throws Undecodable
 */
export function checkData (text: string): void {
  if (!isData(text)) throw new Undecodable('the data of an event')
}

function isData (text: string): boolean {
  if (text.length > MAX_EVENT || BREAKS.test(text) || isDeeperThan(text, MAX_DEPTH)) return false
  return parseJson(text) !== undefined
}

/** @throws Undecodable */
export function checkPosition (epoch: unknown, offset: number): Position {
  if (typeof epoch !== 'string' || !EPOCH.test(epoch) || !isOffset(offset)) throw new Undecodable('a position')
  return { epoch, offset }
}

/**
 * Checks a version or a sequence. They count from a clock, in microseconds at most, so one that is far ahead would be
 * newer than everything for ever.
 *
 * @throws Undecodable
 */
export function checkVersion (version: number): number {
  if (!isOffset(version) || version > (Date.now() + YEAR) * 1_000) throw new Undecodable('a version')
  return version
}

type Named = PresenceChange['joined'][number]

function isNamed (value: unknown): value is Named { return isFields(value) && isText(value.userId) }

function namedOf (value: unknown): Named[] {
  if (!Array.isArray(value) || !value.every(isNamed)) throw new Undecodable('users of a presence')
  return value.map(({ userId, data }) => data === undefined ? { userId } : { userId, data })
}

/**
 * Decodes one user of a presence list.
 *
 * @throws Undecodable
 */
export function decodeNamed (text: string): Named { return namedOf([parseJson(text)])[0]! }

/** @throws Undecodable */
export function decodePresenceChange (text: string): PresenceChange {
  return checkPresenceChange(isDeeperThan(text, MAX_DEPTH) ? undefined : parseJson(text))
}

/** @throws Undecodable */
export function checkPresenceChange (change: unknown): PresenceChange {
  if (!isFields(change) || !isKnown(change.v) || typeof change.sequence !== 'number') {
    throw new Undecodable('a change of a presence')
  }
  return {
    sequence: checkVersion(change.sequence),
    joined: namedOf(change.joined),
    left: namedOf(change.left),
    ...(change.changed === undefined ? {} : { changed: namedOf(change.changed) })
  }
}

/** @throws Undecodable */
export function decodeControl (text: string): ControlMessage {
  const message = isDeeperThan(text, MAX_DEPTH) ? undefined : checkControl(parseJson(text))
  if (message === undefined) throw new Undecodable('a control message')
  return message
}

/** @returns the message with the fields that this version knows; `undefined` when it is no control message */
export function checkControl (value: unknown): ControlMessage | undefined {
  if (!isFields(value) || !isKnown(value.v)) return undefined
  const { type, user, tokenId, connection, room, ack } = value
  switch (type) {
    case 'revoke': {
      const { until } = value
      const meant = meantOf(value)
      const message = reasonOf(value.message)
      if (!isOptional(tokenId, isName) || (tokenId ?? meant) === undefined) return undefined
      if (message === undefined || !isOptional(until, isDate)) return undefined
      return {
        type,
        ...(tokenId === undefined ? meant : { tokenId }),
        ...message,
        ...(until === undefined ? {} : { until }),
        ...(value.isUntilEnd === true ? { isUntilEnd: true } : {}),
        ...(isNode(value.id) ? { id: value.id } : {})
      }
    }
    case 'close': {
      const { code } = value
      const [meant, message] = [meantOf(value), reasonOf(value.message)]
      return meant === undefined || message === undefined || !isCode(code)
        ? undefined
        : { type, ...meant, code, ...message }
    }
    case 'expel': {
      const { until, version } = value
      const message = reasonOf(value.message)
      if (!isName(user) || !isRoom(room) || message === undefined || !isDate(until)) return undefined
      const which = { ...(isDate(version) ? { version } : {}), ...(isNode(value.id) ? { id: value.id } : {}) }
      return { type, user, room, ...message, until, ...which }
    }
    case 'join':
    case 'leave': {
      const meant = meantOf(value)
      // No connection is put into a built-in room, or taken out of one.
      return meant === undefined || !isRoom(room) || room.startsWith('@') ? undefined : { type, ...meant, room }
    }
    case 'members': {
      const { members } = value
      if (!isName(ack) || !Array.isArray(members) || !members.every(isMember)) return undefined
      const more = value.more === true ? { more: true } : {}
      return { type, ack, members: members.map(({ connection, userId }) => ({ connection, userId })), ...more }
    }
    case 'acked':
      if (!isName(ack) || !isName(connection) || !isOptional(user, isName)) return undefined
      {
        const error = answeredError(value.error)
        if (error === null) return undefined
        return {
          type,
          ack,
          connection,
          ...(user === undefined ? {} : { user }),
          ...(value.data === undefined ? {} : { data: value.data }),
          ...(error === undefined ? {} : { error })
        }
      }
    case 'request': {
      const { event, data, timestamp } = value
      const meant = meantOf(value)
      if (!isName(ack) || meant === undefined || 'of' in meant || !isOptional(room, isRoom)) return undefined
      if (typeof event !== 'string' || !TYPE.test(event) || RESERVED_TYPES.has(event) || !isOffset(timestamp)) return undefined
      if (!isString(data) || !isData(data)) return undefined
      return { type, ack, ...meant, ...(room === undefined ? {} : { room }), event, data, timestamp }
    }
    case 'gone':
      return isName(ack) && isName(connection) ? { type, ack, connection } : undefined
    case 'ask': {
      const { id, what } = value
      if (!isName(id) || !isName(user) || !isName(connection)) return undefined
      if (what === 'end') return { type, id, user, connection, what }
      if (what === 'replace') return isNode(value.node) ? { type, id, user, connection, what, node: value.node } : undefined
      if (what === 'auth') {
        return isName(value.ticket) ? { type, id, user, connection, what, ticket: value.ticket } : undefined
      }
      return what === 'leave' && isRoom(room)
        ? { type, id, user, connection, what, room }
        : undefined
    }
    case 'answer': {
      const { id, isDone, code, expires } = value
      if (!isName(id) || typeof isDone !== 'boolean' || !isOptional(code, isCode) || !isOptional(expires, isDate)) {
        return undefined
      }
      return {
        type,
        id,
        isDone,
        ...(code === undefined ? {} : { code }),
        ...(expires === undefined ? {} : { expires })
      }
    }
    case 'pong': {
      const { id } = value
      return isName(id) && isName(user) && isName(connection) ? { type, user, connection, id } : undefined
    }
    case 'follow':
      return isName(user) && isName(connection) && isRoom(room) ? { type, user, connection, room } : undefined
    case 'departed': {
      const { code, ago } = value
      const message = reasonOf(value.message)
      return isName(connection) && isRoom(room) && isCode(code) && message !== undefined && isOptional(ago, isOffset)
        ? { type, connection, room, code, ...message, ...(ago === undefined ? {} : { ago }) }
        : undefined
    }
    case 'cancel': {
      const { event, key } = value
      return isRoom(room) && isName(event) && isString(key)
        ? { type, room, event, key }
        : undefined
    }
    case 'look': {
      const { id, node, question } = value
      if (!isName(id) || !isOptional(node, isName) || !isFields(question)) return undefined
      return { type, id, ...(node === undefined ? {} : { node }), question }
    }
    case 'shown': {
      const { id, answer } = value
      return isName(id) && isFields(answer) ? { type, id, answer } : undefined
    }
    case 'garbled': {
      const message = reasonOf(value.message)?.message
      return isName(user) && isName(connection) && message !== undefined && isOptional(ack, isName)
        ? { type, user, connection, message, ...(ack === undefined ? {} : { ack }) }
        : undefined
    }
    case 'moved':
      return isName(user) && isName(connection) ? { type, user, connection } : undefined
    case 'owed': {
      const told = Array.isArray(value.told) ? value.told.map(owedOf) : []
      return told.length === 0 || told.includes(undefined) ? undefined : { type, told: told as OwedTold }
    }
    case 'resumed': {
      const former: unknown = value.former
      return isName(user) && isRoom(room) && Array.isArray(former) && former.length > 0 &&
        former.length <= MAX_FORMER && former.every(isName)
        ? { type, user, room, former }
        : undefined
    }
    case 'node': {
      const { state } = value
      return state === 'new' || state === 'here' || state === 'leaving' ? { type, state } : undefined
    }
    case 'list': return listOf(value)
    case 'listed': return listedOf(value)
    case 'oldest': return oldestOf(value)
    case 'older': return olderOf(value)
    default: return undefined
  }
}

type OwedTold = Extract<ControlMessage, { readonly type: 'owed' }>['told']

function owedOf (value: unknown): OwedTold[number] | undefined {
  if (!isFields(value)) return undefined
  const { user, connection, room, code, isOver } = value
  const message = reasonOf(value.message)
  if (!isName(user) || !isName(connection) || !isOptional(room, isRoom) || message === undefined) return undefined
  if (room === undefined ? !isCode(code) : !isOptional(code, isName)) return undefined
  return {
    user,
    connection,
    ...(room === undefined ? {} : { room }),
    ...(code === undefined ? {} : { code: code as string }),
    ...message,
    ...(isOver === true ? { isOver } : {})
  }
}

/** Whom a message means: `undefined` where it says nobody, or names somebody by something else than a name. */
function meantOf (
  { user, connection, of }: Readonly<Record<string, unknown>>
): { readonly user: string } | { readonly connection: string } | { readonly of: string } | undefined {
  if (!isOptional(user, isName) || !isOptional(connection, isName) || !isOptional(of, isRoom)) return undefined
  if (user !== undefined) return { user }
  if (connection !== undefined) return { connection }
  return of === undefined ? undefined : { of }
}

/** Reads a reason for people; `undefined` for what is none. */
function reasonOf (message: unknown): { readonly message?: string } | undefined {
  if (message === undefined) return {}
  return isString(message) ? { message: message.slice(0, MAX_REASON) } : undefined
}

function isMember (value: unknown): value is { readonly connection: string, readonly userId: string } {
  return isFields(value) && isName(value.connection) && isName(value.userId)
}
