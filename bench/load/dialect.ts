import type { EventData } from '../shared/payload.js'

/** How a client of one kind of server talks. */
export interface Dialect {
  path (rooms: readonly string[]): string
  /** admitted as soon as the upgrade is */
  readonly isReadyAtOnce: boolean
  /**
   * A text that arrived before the client was ready: `true` when it is now, or what to answer. @throws Error when it is
   * refused
   */
  opening (text: string): boolean | string
  say (room: string, id: number, data: EventData): string
  isAck (text: string): boolean
}

const query = (rooms: readonly string[]): string => rooms.map((room) => `room=${encodeURIComponent(room)}`).join('&')
const say = (room: string, id: number, data: EventData): string => JSON.stringify({
  type: 'say',
  room,
  id: `message-${id}`,
  data
})

const realtime: Dialect = {
  path: (rooms) => rooms.length === 1 ? `/ws/${rooms[0]!}` : `/ws?${query(rooms)}`,
  isReadyAtOnce: false,
  opening (text) {
    if (text.startsWith('{"type":"error"')) throw new Error(text)
    return text.startsWith('{"type":"welcome"')
  },
  say,
  isAck: (text) => text.startsWith('{"type":"ack"')
}

const plain: Dialect = {
  path: (rooms) => `/ws?${query(rooms)}`,
  isReadyAtOnce: true,
  opening: () => true,
  say,
  isAck: realtime.isAck
}

/** Engine.IO 4 and Socket.IO 5: `0` open, `2` ping, `3` pong, `40` connect, `42` event, `43` ack, `44` refusal. */
const socketio: Dialect = {
  path: (rooms) => `/socket.io/?EIO=4&transport=websocket&${query(rooms)}`,
  isReadyAtOnce: false,
  opening (text) {
    if (text.startsWith('44')) throw new Error(text)
    return text.startsWith('0') ? '40' : text.startsWith('40')
  },
  say: (room, id, data) => `42${id}${JSON.stringify(['say', room, data])}`,
  isAck: (text) => text.startsWith('43')
}

export const DIALECTS: Readonly<Record<string, Dialect>> = { realtime, socketio, plain }
