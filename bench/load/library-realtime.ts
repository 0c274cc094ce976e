import { connect } from 'fastify-realtime/client'
import type { Library } from './library-client.js'

/** Our own client, over WebSocket. */
export const library: Library = {
  async enter (url, token, name, onEvent) {
    const client = connect(`${url}/ws`, { token: () => token, transports: ['websocket'] })
    const room = client.join(name)
    room.on('said', onEvent)
    await room.joined
    return () => { client.close() }
  }
}
