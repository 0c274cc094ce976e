import { retryOfClose } from '../../protocol/close-codes.js'
import { refused } from '../errors.js'
import type { Frame, Open } from './link.js'

export const websocket: Open = ({ Socket, base, token }, { frame, heard, closed }) => {
  const socket = new Socket(base.replace('http', 'ws'), ['realtime.v1', ...token ? [`bearer.${token}`] : []])
  let isHeard = false
  socket.onmessage = ({ data }) => {
    isHeard = true
    heard()
    frame(JSON.parse(data) as Frame)
  }
  socket.onclose = ({ code, reason }) => {
    // The close reason is a code of the table. Before the first frame, or in another form, it comes from an
    // intermediary. The package `ws` itself ends a message that is too large, without such a reason.
    const word = code === 1009 ? 'message_too_large' : (isHeard || code > 4400) && /^\w+$/.test(reason) && reason
    closed(word ? refused(word, reason, retryOfClose(code)) : undefined)
  }
  // After a failed handshake some platforms report nothing more, or only much later.
  socket.onerror = () => { if (!isHeard) closed() }
  return {
    send (up) { if (socket.readyState === 1) socket.send(JSON.stringify(up)) },
    close () { socket.close() }
  }
}
