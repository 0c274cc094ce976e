import { encodeEvent, type Packet } from '../protocol/codec.js'
import type { Position } from '../protocol/position.js'
import type { Publication } from './adapter.js'
import { checkData, checkPosition, checkVersion, decodeHead, type Head } from './decode.js'

/**
 * One event as brokers carry and keep it: three lines, of which only the second is parsed. JSON has no raw line breaks.
 *
 *     <origin>
 *     {"t":"said","s":1700000000000}
 *     {"text":"hi"}
 *
 * @param origin names this publication: the publishing adapter and a number
 */
export function encodePayload (origin: string, { type, data, delivery, key, timestamp, except, ack }: Publication): string {
  const head: Head = {
    t: type,
    s: timestamp,
    ...(delivery === 'reliable' ? {} : { d: delivery }),
    ...(key === undefined ? {} : { k: key }),
    ...(except === undefined ? {} : { x: except }),
    ...(ack === undefined ? {} : { a: ack })
  }
  return `${origin}\n${JSON.stringify(head)}\n${data}`
}

export function originOf (payload: string): string {
  return payload.slice(0, payload.indexOf('\n'))
}

/** The origin and the epoch that its publisher knew, where that is named behind it. */
export function splitOrigin (origin: string): [origin: string, epoch: string | undefined] {
  const space = origin.indexOf(' ')
  return space === -1 ? [origin, undefined] : [origin.slice(0, space), origin.slice(space + 1)]
}

/**
 * @param at where the event stands: a position, or a version among the `latest` values
 * @throws Undecodable
 */
export function decodePayload (room: string, payload: string, at: { position?: Position, version?: number }): Packet {
  const first = payload.indexOf('\n')
  const second = payload.indexOf('\n', first + 1)
  const { t, s, d, k, x, a } = decodeHead(payload.slice(first + 1, second))
  const data = payload.slice(second + 1)
  checkData(data)
  if (at.position !== undefined) checkPosition(at.position.epoch, at.position.offset)
  if (at.version !== undefined) checkVersion(at.version)
  return encodeEvent({ type: t, room, delivery: d ?? 'reliable', timestamp: s, key: k, except: x, ack: a, ...at }, data)
}

/** `<epoch> <offset> <epoch> <offset> ...` */
export function parsePositions (text: string): Position[] {
  const parts = text.split(' ')
  const positions: Position[] = []
  for (let index = 0; index + 1 < parts.length; index += 2) positions.push({ epoch: parts[index]!, offset: Number(parts[index + 1]) })
  return positions
}
