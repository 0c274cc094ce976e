import { refusal } from '../links/http.js'
import type { FrameData } from '../links/link.js'
import type { Part } from '../part.js'
import { utf8 } from '../platform.js'
import type { SocketClass } from '../socket.js'

/**
 * Longest token, in characters, that goes in a header: its encoding makes it a third longer, which proxies still
 * accept. A longer token is exchanged for a ticket.
 */
const LONG = 6_000
/** Milliseconds before which no credential is renewed. */
const SOON = 1_000

const base64url = (text: string): string =>
  btoa(utf8(text)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')

/**
 * Renews the credential of an open link in time, and opens WebSockets with tokens of any length and characters. Without
 * it the server ends a link whose credential has expired, and the client opens another one with a fresh credential.
 */
export const tickets: Part = ({ line, host, options, shown }) => {
  const { prepareSocket } = line
  const { up, frame } = host
  /** @throws Refused */
  const fetchTicket = async (): Promise<string | undefined> => {
    const response = await line.http('/ticket', { method: 'POST' })
    if (!response.ok) throw await refusal(response)
    return (await response.json() as FrameData).ticket
  }

  /**
   * Schedules a fresh credential before the present one expires; where the link can stay, it goes up as a ticket. If
   * the clock of this machine is so wrong that the credential seems expired, nothing is scheduled, and the server's
   * close tells.
   */
  const renewal = (expires = 0): void => {
    const left = expires - Date.now()
    if (left <= 0 || typeof options.token === 'string') return
    line.after('renew', Math.max(SOON, left * 0.75), () => {
      if (line.isHttp) return line.relink()
      const { connectionId } = shown
      void (async () => {
        // Until it succeeds, it is tried again, and at last the server ends the link.
        line.after('renew', line.timeout, () => { renewal(expires) })
        const token = await line.authenticate()
        if (shown.connectionId !== connectionId) return
        line.token = token
        const ticket = await fetchTicket()
        if (shown.connectionId === connectionId) line.send({ type: 'auth', id: 'auth', data: { ticket } })
      })().catch(() => {})
    })
  }

  line.prepareSocket = async () => {
    const { token } = line
    const Socket = await prepareSocket() as SocketClass | undefined
    // A subprotocol has to be a token of RFC 7230; any other credential goes as base64url of its UTF-8.
    const isLong = token && token.length > LONG
    if (!Socket || !token || (!isLong && /^[!#-'*+.^`|~\w-]+$/.test(token))) return Socket
    const query = isLong ? `?ticket=${await fetchTicket()}` : ''
    // What is made by this is what it returns.
    return function open (url: string, [version]: [string]) {
      return new Socket(url + query, query ? [version] : [version, `bearer64.${base64url(token)}`])
    }
  }
  host.up = (data) => {
    up(data)
    renewal(data.expires)
  }
  host.frame = (each) => {
    if (each.id === 'auth' && each.type === 'ack') renewal(each.data?.expires)
    else frame(each)
  }
}
