import type { Frame } from '../../lib/client/links/link.js'
import type { Core } from '../../lib/client/part.js'
import { createRoom } from '../../lib/client/room.js'
import type { Room, RoomHost } from '../../lib/client/room-types.js'

/** A room of the client, with what it asks the server for and what it puts off. */
export interface AskedRoom {
  readonly room: Room
  readonly answers: Array<(answer?: Frame) => void>
  readonly later: Array<{ readonly wait: number, readonly run: () => void }>
}

/** @param part of the client that the room has, without a server */
export function askedRoom (name: string, part: (core: Core) => void): AskedRoom {
  const answers: AskedRoom['answers'] = []
  const later: AskedRoom['later'] = []
  const line = { after: (_name: string, wait: number, run: () => void) => { later.push({ wait, run }) } }
  const core = { createRoom, line } as unknown as Core
  part(core)
  const host: RoomHost = {
    send: async () => undefined,
    leave: async () => {},
    ask: (_type, _room, _data, done) => { answers.push(done) },
    say: () => [],
    fail: () => {}
  }
  return { room: core.createRoom(name, {}, host), answers, later }
}

/** An answer of the server that refuses for now or for good. @param retryAfter milliseconds */
export function refusal (retry: string, retryAfter?: number): Frame {
  return { type: 'error', data: { code: 'unavailable', message: '', retry, retryAfter } } as unknown as Frame
}
