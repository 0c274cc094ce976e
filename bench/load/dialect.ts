import type { EventData } from '../shared/payload.js'
import type { Place } from './place.js'

/** How a client of one kind of server talks. */
export interface Dialect {
  path (rooms: readonly string[], place?: Place): string
  /** admitted as soon as the upgrade is */
  readonly isReadyAtOnce: boolean
  /**
   * A text that arrived before the client was ready: `true` when it is now, or what to answer. @throws Error when it is
   * refused
   */
  opening (text: string, place?: Place): boolean | string
  /** @param id absent: a message without an id, which is not acked */
  say (room: string, id: number | undefined, data: EventData): string
  /** Joins or leaves a room, and is acked. */
  move (type: 'join' | 'leave', room: string, id: number): string
  /** @param start the first characters of a text */
  isAck (start: string): boolean
  /** Where a client is after a text, which was at `before`. */
  place (text: string, before: Place | undefined): Place | undefined
}

const query = (rooms: readonly string[]): string => rooms.map((room) => `room=${encodeURIComponent(room)}`).join('&')
const say: Dialect['say'] = (room, id, data) => JSON.stringify({
  type: 'say',
  room,
  ...(id === undefined ? {} : { id: `message-${id}` }),
  data
})

interface Told {
  readonly type: string
  readonly offset?: number
  readonly data: { readonly rooms?: Readonly<Record<string, { readonly epoch: string, readonly offset: number }>> }
}

const realtime: Dialect = {
  path (rooms, place) {
    if (place !== undefined) return `/ws?${query(rooms)}&at=0:${place.session}:${place.last ?? 0}`
    return rooms.length === 1 ? `/ws/${rooms[0]!}` : `/ws?${query(rooms)}`
  },
  isReadyAtOnce: false,
  opening (text) {
    if (text.startsWith('{"type":"error"')) throw new Error(text)
    return text.startsWith('{"type":"welcome"')
  },
  say,
  move: (type, room, id) => JSON.stringify({ type, room, id: `move-${id}`, data: {} }),
  isAck: (start) => start.startsWith('{"type":"ack"'),
  place (text, before) {
    const { type, offset, data } = JSON.parse(text) as Told
    const room = type === 'welcome' ? Object.values(data.rooms ?? {})[0] : undefined
    if (room !== undefined) return { session: room.epoch, last: String(room.offset) }
    return before === undefined || offset === undefined ? before : { ...before, last: String(offset) }
  }
}

const plain: Dialect = {
  path: (rooms) => `/ws?${query(rooms)}`,
  isReadyAtOnce: true,
  opening: () => true,
  say,
  move: realtime.move,
  isAck: realtime.isAck,
  place: () => undefined
}

/** Engine.IO 4 and Socket.IO 5: `0` open, `2` ping, `3` pong, `40` connect, `42` event, `43` ack, `44` refusal. */
const socketio: Dialect = {
  path: (rooms) => `/socket.io/?EIO=4&transport=websocket&rooms=${encodeURIComponent(rooms.join())}`,
  isReadyAtOnce: false,
  opening (text, place) {
    if (text.startsWith('44')) throw new Error(text)
    if (!text.startsWith('0')) return text.startsWith('40')
    return place === undefined ? '40' : `40${JSON.stringify({ pid: place.session, offset: place.last })}`
  },
  say: (room, id, data) => `42${id ?? ''}${JSON.stringify(['say', room, data])}`,
  move: (type, room, id) => `42${id}${JSON.stringify([type, room])}`,
  isAck: (start) => start.startsWith('43'),
  place (text, before) {
    if (text.startsWith('40')) {
      const { pid } = JSON.parse(text.slice(2)) as { pid?: string }
      return pid === undefined ? undefined : { session: pid, last: before?.last }
    }
    if (before === undefined || !text.startsWith('42')) return before
    const last = (JSON.parse(text.slice(2)) as unknown[]).at(-1)
    return typeof last === 'string' ? { ...before, last } : before
  }
}

export const DIALECTS: Readonly<Record<string, Dialect>> = { realtime, socketio, plain }
