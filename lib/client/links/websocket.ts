import { retryOfClose } from '../../protocol/closes.js'
import { refused } from '../failure.js'
import type { Frame, Open } from './link.js'

export const websocket: Open = ({ Socket, base, token }, { frame, heard, closed }) => {
  const socket = new Socket(base.replace('http', 'ws'), ['realtime.v1', ...(token ? [`bearer.${token}`] : [])])
  socket.onmessage = ({ data }) => {
    heard()
    frame(JSON.parse(data) as Frame)
  }
  socket.onclose = ({ code, reason }) => {
    // The reason is the word of the table; without one the link was lost, or cut. `ws` itself ends a message that is too large.
    const word = code === 1009 ? 'message_too_large' : /\W/.test(reason) ? 'protocol' : reason
    closed(word ? refused(word, reason, retryOfClose(code)) : undefined)
  }
  // Without a listener `ws` would throw; `close` follows.
  socket.onerror = () => {}
  return {
    send (up) { if (socket.readyState === 1) socket.send(JSON.stringify(up)) },
    close () { socket.close() }
  }
}
