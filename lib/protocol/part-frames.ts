import { Packet, type EventHead } from './packet.js'
import { dataOf, gathered, type Part } from './part.js'
import { frameText } from './websocket-frame.js'

/** What is said of a text beside its stretch. */
export type TextHead = Pick<EventHead, 'type' | 'room' | 'timestamp'> & {
  /** The value of the contract's `key` property. */
  readonly key: string
}

/** Frames a stretch of a text for all its receivers. */
export function encodePart ({ type, room, key, timestamp }: TextHead, part: Part): Packet {
  const end = part.end === undefined ? '' : `,"end":${JSON.stringify(part.end)}`
  const text =
    `{"type":${JSON.stringify(type)},"room":${JSON.stringify(room)},"data":${dataOf(part)},"from":${part.from}${end},"timestamp":${timestamp}}`
  return new Packet(frameText(text), { type, room, key, timestamp, delivery: 'append', part }, room)
}

/** Frames a text that was read from where it is kept. */
export function encodeKept (
  room: string,
  { part, age = 0, ...head }: Omit<TextHead, 'room'> & Pick<EventHead, 'age'> & { readonly part: Part }
): Packet {
  return encodePart({ ...head, room }, part).aged(age)
}

/** Frames the end of a text that is not kept any more: nobody has its rest. */
export function encodeLost (head: TextHead, part: Pick<Part, 'before' | 'isList'>, from: number): Packet {
  const { type, room, key, timestamp } = head
  const data = dataOf({ ...part, inside: '', from, to: from, version: 0, begun: 0 })
  const text =
    `{"type":${JSON.stringify(type)},"room":${JSON.stringify(room)},"data":${data},"from":${from},"end":"lost","timestamp":${timestamp}}`
  return new Packet(frameText(text), { type, room, key, timestamp, delivery: 'append' }, room)
}

/** Makes one frame of those of stretches that follow each other. */
export function gatherParts (packets: readonly Packet[]): Packet {
  if (packets.length === 1) return packets[0]!
  return encodePart(packets.at(-1)!.event as TextHead, gathered(packets.map(({ event }) => event!.part!)))
}
