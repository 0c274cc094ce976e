import type { JoinResult } from '../dispatch/join-result.js'
import type { Packet } from '../protocol/packet.js'

/** The answer of a poll. */
export interface PollAnswer {
  readonly connectionId: string
  readonly cursor: string
  readonly resumed: boolean
  /** What the peer learns of each room that was entered or resumed. */
  readonly rooms: readonly JoinResult[]
  readonly frames: readonly Packet[]
}

/** Writes an answer as JSON, with the frames as they were serialised for all their receivers. */
export function encodeAnswer ({ connectionId, cursor, resumed, rooms, frames }: PollAnswer): string {
  let list = ''
  for (const room of rooms) {
    if ('refusal' in room) continue
    if (list !== '') list += ','
    list += JSON.stringify(room.name)
    list += ':'
    list += JSON.stringify(room.data)
  }
  // An id and a cursor are base64url, in which nothing has to be escaped.
  let text = `{"connectionId":"${connectionId}","cursor":"${cursor}","resumed":${resumed},"rooms":{${list}},"frames":[`
  let comma = ''
  for (const { payload } of frames) {
    text += comma + payload.toString('utf8')
    comma = ','
  }
  return `${text}]}`
}
