import { retryOfClose } from '../../protocol/close-codes.js'
import { refused } from '../errors.js'
import type { Frame, Open } from './link.js'

/** A subprotocol is a token of RFC 7230; a credential that is none goes as base64url of its UTF-8. */
const bearer = (token: string): string => /^[!#-'*+.^`|~\w-]+$/.test(token)
  ? `bearer.${token}`
  : `bearer64.${btoa(String.fromCharCode(...new TextEncoder().encode(token))).replace(/[+/=]/g, (char) => char === '+' ? '-' : char === '/' ? '_' : '')}`

export const websocket: Open = ({ Socket, base, token, ticket }, { frame, heard, closed }) => {
  const socket = new Socket(
    base.replace('http', 'ws') + (ticket ? `?ticket=${ticket}` : ''),
    ['realtime.v1', ...(token && !ticket ? [bearer(token)] : [])]
  )
  let isHeard = false
  socket.onmessage = ({ data }) => {
    isHeard = true
    heard()
    frame(JSON.parse(data) as Frame)
  }
  socket.onclose = ({ code, reason }) => {
    // The reason is the word of the table; before the first frame, or in other words, it is of somebody between. `ws`
    // itself ends a message that is too large.
    const word = code === 1009 ? 'message_too_large' : (isHeard || code > 4400) && /^\w+$/.test(reason) && reason
    closed(word ? refused(word, reason, retryOfClose(code)) : undefined)
  }
  // Of a handshake that failed some platforms say nothing more, or only much later.
  socket.onerror = () => { if (!isHeard) closed() }
  return {
    send (up) { if (socket.readyState === 1) socket.send(JSON.stringify(up)) },
    close () { socket.close() }
  }
}
