import type { Packet } from '../protocol/packet.js'

/** The answer of a poll. */
export interface PollAnswer {
  readonly connectionId: string
  readonly cursor: string
  readonly resumed: boolean
  readonly rooms: Readonly<Record<string, unknown>>
  readonly frames: readonly Packet[]
}

/** Writes an answer as JSON, with the frames as they were serialised for all their receivers. */
export function encodeAnswer ({ frames, ...rest }: PollAnswer): string {
  let text = ''
  for (const { payload } of frames) text += `${text === '' ? '' : ','}${payload.toString('utf8')}`
  return `${JSON.stringify(rest).slice(0, -1)},"frames":[${text}]}`
}
