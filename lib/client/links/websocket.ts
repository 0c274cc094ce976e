import { retryOfClose } from '../../protocol/close-codes.js'
import { refused } from '../errors.js'
import { utf8 } from '../platform.js'
import type { Frame, Open } from './link.js'

/**
 * Writes the credential as a subprotocol, which has to be a token of RFC 7230; any other credential goes as base64url
 * of its UTF-8.
 */
const bearer = (token: string): string => /^[!#-'*+.^`|~\w-]+$/.test(token)
  ? `bearer.${token}`
  : `bearer64.${btoa(utf8(token)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')}`

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
