import { encodeEvent, Packet } from '../../protocol/packet.js'
import { encodePart } from '../../protocol/part-frames.js'
import { dataOf, type Part, type TextEnd } from '../../protocol/part.js'
import type { Position } from '../../protocol/position.js'
import { frameText } from '../../protocol/websocket-frame.js'
import type { HistoryPage, HistoryQuery, KeptText, Publication, RoomSettings, TextWrite } from '../adapter.js'
import { checkData, checkHead, checkPosition, checkVersion, Undecodable, type Head } from '../broker/decode.js'
import { besideOf, headOf } from '../broker/payload.js'
import { boundOf, fieldsOf, flagOf, listOf, maybe, nameOf, numberOf, textOf } from './checks.js'

/**
 * What travels between workers and their primary, in the form in which it travels, and how it is read again: each
 * reader throws Undecodable. The channel makes JSON or a copy of it.
 */

/** An event, as members are sent it. */
export interface PacketOnWire {
  readonly head: Head
  /** JSON of its frame; absent where it is made of the rest. */
  readonly text?: string
  readonly at?: Position
  readonly version?: number
  readonly age?: number
  readonly part?: Part
}

/** Characters that a packet takes on its way, about. */
export function sizeOf ({ bytes, event }: Packet): number { return bytes.length + (event?.part?.inside.length ?? 0) }

export function writePacket (packet: Packet): PacketOnWire {
  const event = packet.event!
  const { position, version, age, part, isRemoval } = event
  const isMade = part !== undefined || isRemoval === true
  return {
    head: headOf(part === undefined ? event : { ...event, delivery: 'reliable' }, isRemoval === true),
    ...(isMade ? {} : { text: packet.payload.toString() }),
    ...(position === undefined ? {} : { at: position }),
    ...(version === undefined ? {} : { version }),
    ...(age === undefined ? {} : { age }),
    ...(part === undefined ? {} : { part })
  }
}

export function readPacket (room: string, value: unknown): Packet {
  const { head, text, at, version, age, part } = fieldsOf(value)
  const beside = besideOf(checkHead(head))
  const kept = maybe(age, numberOf)
  if (part !== undefined) {
    const { type, key, timestamp } = beside
    const packet = encodePart({ type, room, key: nameOf(key), timestamp }, readPart(part))
    return kept === undefined ? packet : packet.aged(kept)
  }
  const event = {
    ...beside,
    room,
    position: maybe(at, readPosition),
    version: maybe(version, (given) => checkVersion(numberOf(given))),
    ...(kept === undefined ? {} : { age: kept })
  }
  if (event.isRemoval === true) return encodeEvent(event, '')
  const json = textOf(text)
  checkData(json)
  return new Packet(frameText(json), event, room, event.position)
}

export function readPosition (value: unknown): Position {
  const { epoch, offset } = fieldsOf(value)
  return checkPosition(epoch, numberOf(offset))
}

function readPart (value: unknown): Part {
  const { version, begun } = fieldsOf(value)
  const part = { ...readStretch(value), version: checkVersion(numberOf(version)), begun: checkVersion(numberOf(begun)) }
  checkData(dataOf(part))
  return part
}

function readStretch (value: unknown): TextWrite['part'] {
  const { before, inside, isList, from, to, end } = fieldsOf(value)
  const stretch = {
    before: textOf(before),
    inside: textOf(inside),
    isList: flagOf(isList),
    from: numberOf(from),
    to: numberOf(to),
    end: maybe(end, readEnd)
  }
  if (stretch.from < 0 || stretch.to < stretch.from) throw new Undecodable('a stretch of a text')
  return stretch
}

function readEnd (value: unknown): TextEnd {
  if (value === 'done' || value === 'lost') return value
  const { code, message } = fieldsOf(value)
  return { code: textOf(code), message: textOf(message) }
}

export function readSettings (value: unknown): RoomSettings {
  const { history, latest, append, owned, definition } = fieldsOf(value)
  const bounds = (given: unknown): { size: number, ttl: number } => {
    const { size, ttl } = fieldsOf(given)
    return { size: boundOf(size), ttl: boundOf(ttl) }
  }
  return {
    history: history === false ? false : bounds(history),
    latest: flagOf(latest),
    append: maybe(append, bounds),
    ...(owned === true ? { owned } : {}),
    definition: textOf(definition)
  }
}

/** A publication, whose fields that events have too travel as theirs do. */
export function writePublication (publication: Publication): Record<string, unknown> {
  const { data, idempotencyKey, owner, removes } = publication
  return { head: headOf(publication, removes !== undefined), data, idempotencyKey, owner, version: removes?.version }
}

export function readPublication (value: unknown): Publication {
  const { head, data, idempotencyKey, owner, version } = fieldsOf(value)
  const { isRemoval, ...beside } = besideOf(checkHead(head))
  const json = textOf(data)
  if (isRemoval !== true) checkData(json)
  return {
    ...beside,
    data: json,
    idempotencyKey: maybe(idempotencyKey, nameOf),
    owner: maybe(owner, nameOf),
    ...(isRemoval === true ? { removes: { version: maybe(version, numberOf) } } : {})
  }
}

export function readQuery (value: unknown): HistoryQuery {
  const { since, last, limit, bytes } = fieldsOf(value)
  return {
    since: maybe(since, readPosition),
    last: maybe(last, boundOf),
    limit: boundOf(limit),
    bytes: maybe(bytes, boundOf)
  }
}

export function writePage ({ events, ...page }: HistoryPage): Record<string, unknown> {
  return { ...page, events: events.map(writePacket) }
}

export function readPage (room: string, value: unknown): HistoryPage {
  const { resumed, events, top, floor, isPart } = fieldsOf(value)
  return {
    resumed: flagOf(resumed),
    events: listOf(events).map((each) => readPacket(room, each)),
    top: readPosition(top),
    floor: readPosition(floor),
    ...(isPart === true ? { isPart } : {})
  }
}

export function readWrite (value: unknown): TextWrite {
  const { type, key, timestamp, writer, number, lease, part } = fieldsOf(value)
  const read = {
    type: nameOf(type),
    key: nameOf(key),
    timestamp: numberOf(timestamp),
    writer: nameOf(writer),
    number: numberOf(number),
    lease: boundOf(lease),
    part: readStretch(part)
  }
  // What is no JSON would go to every member.
  checkData(dataOf({ ...read.part, version: 0, begun: 0 }))
  return read
}

export function readWhich (value: unknown): { readonly type: string, readonly key: string } {
  const { type, key } = fieldsOf(value)
  return { type: nameOf(type), key: nameOf(key) }
}

export function readKept (value: unknown): KeptText {
  const { timestamp, part, age } = fieldsOf(value)
  return {
    ...readWhich(value),
    timestamp: numberOf(timestamp),
    part: readPart(part),
    age: maybe(age, numberOf)
  }
}
