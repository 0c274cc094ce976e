import { once } from 'node:events'
import { WebSocket } from 'ws'
import type { Library } from './library-client.js'

/** What is written by hand on the class of `ws`, which both libraries use as well. */
export const library: Library = {
  async enter (url, token, room, onEvent) {
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/ws?room=${encodeURIComponent(room)}`, {
      headers: { authorization: `Bearer ${token}` }
    })
    socket.on('message', (raw: Buffer) => {
      const { type } = JSON.parse(raw.toString()) as { type: string }
      if (type === 'said') onEvent()
    })
    await once(socket, 'open')
    return () => { socket.terminate() }
  }
}
