import { hash } from 'node:crypto'
import type { Except } from '../../protocol/except.js'
import { encodeEvent, type EventHead, type Packet } from '../../protocol/packet.js'
import { EPOCH, isOffset, type Position } from '../../protocol/position.js'
import type { Publication } from '../adapter.js'
import { checkData, checkPosition, checkVersion, decodeHead, REMOVAL, type Head } from './decode.js'

/** What is said of an event, besides its data and where it stands. */
export type Beside = Pick<
  Publication,
  'type' | 'delivery' | 'key' | 'timestamp' | 'except' | 'ack' | 'user' | 'traceparent'
>

/**
 * Writes one event as brokers carry and keep it: three lines, of which only the second is parsed. JSON has no raw line
 * breaks.
 *
 *     <origin>
 *     {"t":"said","s":1700000000000}
 *     {"text":"hi"}
 *
 * @param origin names this publication: the publishing adapter and a number. Where the publisher gave it an idempotency
 *   key, a hash of that follows in the same line, by which a repeated publication is recognised.
 * @param lost of a value that a broker has lost and that is put back: its version and its age
 */
export function encodePayload (
  origin: string,
  publication: Publication,
  lost?: Pick<EventHead, 'version' | 'age'>
): string {
  const { data, idempotencyKey, removes } = publication
  const head = {
    ...headOf(publication, removes !== undefined),
    ...(lost?.version === undefined ? {} : { b: lost.version, g: Math.round(lost.age ?? 0) })
  }
  const identity = idempotencyKey === undefined ? '' : ` ${hash('sha1', idempotencyKey, 'base64url').slice(0, 16)}`
  return `${origin}${identity}\n${JSON.stringify(head)}\n${data}`
}

/** What is sent and kept beside an event's data. */
export function headOf (
  { type, delivery, key, timestamp, except, ack, user, traceparent }: Beside,
  isRemoval: boolean
): Head {
  return {
    // A node that does not know removals would take one for a value.
    ...(isRemoval ? { w: REMOVAL, r: true } : {}),
    t: type,
    s: timestamp,
    ...(delivery === 'reliable' ? {} : { d: delivery }),
    ...(key === undefined ? {} : { k: key }),
    ...exceptFields(except),
    ...(ack === undefined ? {} : { a: ack }),
    ...(user === undefined ? {} : { u: user }),
    ...(traceparent === undefined ? {} : { p: traceparent })
  }
}

/** Reads it again. */
export function besideOf ({ t, s, d, k, x, o, a, r, u, p }: Head): Beside & { readonly isRemoval?: true } {
  return {
    type: t,
    delivery: d ?? 'reliable',
    timestamp: s,
    key: k,
    except: exceptOf(x, o),
    ack: a,
    ...(r === true ? { isRemoval: r } : {}),
    ...(u === undefined ? {} : { user: u }),
    ...(p === undefined ? {} : { traceparent: p })
  }
}

/** What follows the origin of a clear. The form is one that a node which knows no clears takes for unreadable. */
const CLEAR = `\n{"w":${REMOVAL}}\nnull`

/** Writes the place of a clear among the events of its room, where a broker keeps it as one of them. */
export function encodeClear (origin: string): string { return origin + CLEAR }

export function isClear (payload: string): boolean { return payload.endsWith(CLEAR) }

export function originOf (payload: string): string {
  const end = payload.indexOf('\n')
  const space = payload.indexOf(' ')
  return payload.slice(0, space !== -1 && space < end ? space : end)
}

/** Returns what two publications of one event have in common: their idempotency key, or otherwise their origin. */
export function identityOf (payload: string): string {
  const end = payload.indexOf('\n')
  const space = payload.indexOf(' ')
  return space !== -1 && space < end ? payload.slice(space + 1, end) : payload.slice(0, end)
}

/** Splits an origin from the epoch that its publisher knew, where that stands behind it. */
export function splitOrigin (origin: string): [origin: string, epoch: string | undefined] {
  const mark = origin.indexOf('@')
  return mark === -1 ? [origin, undefined] : [origin.slice(0, mark), origin.slice(mark + 1)]
}

function exceptFields ({ user, connection, others }: Except = {}): Pick<Head, 'x' | 'o'> {
  return {
    ...(connection === undefined ? {} : { x: user === undefined ? { connection } : { user, connection } }),
    ...(others === undefined ? {} : { o: others })
  }
}

function exceptOf (one: Head['x'], others: Head['o']): Except | undefined {
  return others === undefined ? one : { ...one, others }
}

/**
 * @param at where the event stands: a position, or a version among the `latest` values; and for how long the broker
 *   has kept it
 * @throws Undecodable
 */
export function decodePayload (
  room: string, payload: string, at: { position?: Position, version?: number, age?: number | undefined }
): Packet {
  const first = payload.indexOf('\n')
  const second = payload.indexOf('\n', first + 1)
  const head = decodeHead(payload.slice(first + 1, second))
  const beside = besideOf(head)
  const data = payload.slice(second + 1)
  checkData(data)
  if (at.position !== undefined) checkPosition(at.position.epoch, at.position.offset)
  if (at.version !== undefined) checkVersion(at.version)
  const { b: former, g: before = 0 } = head
  const back = former === undefined ? {} : { former, age: (at.age ?? 0) + before }
  return encodeEvent({ ...beside, room, ...at, ...back }, data)
}

/**
 * Reads positions written as `<epoch> <offset> <epoch> <offset> ...`. An epoch marked with `!` lost what came after its
 * offset.
 *
 * @param onUndecodable called for each entry that is no position; such an entry is omitted
 */
export function parsePositions (
  text: string,
  onUndecodable?: () => void
): Array<Position & { readonly isLossy?: boolean }> {
  if (text === '') return []
  const parts = text.split(' ')
  const positions: Array<Position & { readonly isLossy?: boolean }> = []
  for (let index = 0; index < parts.length; index += 2) {
    const [mark = '', digits = ''] = [parts[index], parts[index + 1]]
    const isLossy = mark.endsWith('!')
    const [epoch, offset] = [isLossy ? mark.slice(0, -1) : mark, Number(digits)]
    if (!EPOCH.test(epoch) || digits === '' || !isOffset(offset)) onUndecodable?.()
    else positions.push(isLossy ? { epoch, offset, isLossy } : { epoch, offset })
  }
  return positions
}
