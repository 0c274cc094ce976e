import { io } from 'socket.io-client'
import type { Library } from './library-client.js'

/** The client of Socket.IO, over WebSocket. */
export const library: Library = {
  async enter (url, token, room, onEvent) {
    const socket = io(url, {
      transports: ['websocket'],
      forceNew: true,
      extraHeaders: { authorization: `Bearer ${token}` },
      query: { rooms: room }
    })
    socket.on('said', onEvent)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('connect_error', reject)
    })
    return () => { socket.disconnect() }
  }
}
