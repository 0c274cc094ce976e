/*
 * Frames that the server must not send; compiled by types.test.ts, never run. An expected error that is missing is an
 * error.
 */
import { encodeFrame } from '../../lib/protocol/packet.js'
import type { EndReason } from '../../lib/protocol/codes.js'
import type { ServerFrame } from '../../lib/protocol/server-frames.js'

declare function send (frame: ServerFrame): void

send({ type: 'ack', room: 'chat/1', id: 'm1', data: { any: 'thing' } })
send({ type: 'gap', room: 'chat/1', data: { epoch: 'abcdefgh', to: 5 } })
// @ts-expect-error a word that is no frame's
send({ type: 'acknowledged', id: 'm1' })
// @ts-expect-error the name of an event, which is sent as a packet of its own
send({ type: 'said', room: 'chat/1', data: {}, timestamp: 5 })
// @ts-expect-error an error says how it may be tried again
send({ type: 'error', data: { code: 'forbidden', message: 'not allowed' } })
// @ts-expect-error a gap says up to where it goes
send({ type: 'gap', room: 'chat/1', data: { epoch: 'abcdefgh' } })
// @ts-expect-error a drain says when it comes
send({ type: 'drain', data: {} })
// @ts-expect-error who comes and goes does so in a room
encodeFrame({ type: 'presence', data: { sequence: 1, joined: [], left: [] } })
// @ts-expect-error a room's name is a string
encodeFrame({ type: 'joined', room: 5, data: {} })

/** A frame is told from the others by its type, events included. */
export function positionOf (frame: ServerFrame): number | undefined {
  if (frame.type === 'gap') return frame.data.to
  if (frame.type === 'welcome') return frame.data.rooms.lobby?.offset
  return undefined
}

export const reasons: EndReason[] = ['left', 'gone', 'slow_consumer']
// @ts-expect-error a word that no connection ends by
reasons.push('bored')
