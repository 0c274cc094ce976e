import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** Header fields of one request; more are never of an honest client, and Node leaves the last ones out. */
const MOST_FIELDS = 1_000

function tokensOf (field: string | undefined): string[] {
  return (field ?? '').split(',').map((token) => token.trim().toLowerCase()).filter((token) => token !== '')
}

/** Whether a request asks for another protocol and not for ours: `h2c` of Java's HttpClient and of `curl --http2`, for one. */
export function isForeignUpgrade ({ headers }: Partial<IncomingMessage>): boolean {
  const asked = tokensOf(headers?.upgrade)
  return asked.length > 0 && !asked.includes('websocket')
}

/**
 * Has a request served as if it had not asked for another protocol, which is what RFC 9110 7.8 lets a server do.
 *
 * Node has taken its parser off the socket by now. So the request is put back before what has come of its body, without the fields that
 * asked, and the server is given the socket once more: body, keep-alive, pipelining and limits are then those of any other request.
 */
export function serveForeignUpgrade (server: EventEmitter, raw: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = raw
  if (socket.destroyed) return
  if (rawHeaders.length > 2 * MOST_FIELDS) {
    socket.destroy()
    return
  }
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name, value] = [rawHeaders[i]!, rawHeaders[i + 1]!]
    const field = name.toLowerCase()
    if (field === 'upgrade' || field === 'http2-settings') continue
    if (field !== 'connection') lines.push(`${name}: ${value}`)
    else {
      const kept = tokensOf(value).filter((token) => token !== 'upgrade' && token !== 'http2-settings')
      if (kept.length > 0) lines.push(`${name}: ${kept.join(', ')}`)
    }
  }
  const request = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  const serve = (): void => {
    // What broke it may still be on its way to the listener of errors.
    if (socket.destroyed) return
    socket.unshift(head.length === 0 ? request : Buffer.concat([request, head]))
    server.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket)
    socket.off('error', onError)
  }
  const onError = (): void => { socket.destroy() }
  socket.on('error', onError)
  // An answer to an earlier request of this socket goes first: the server that takes the socket anew would not wait for it.
  const before = (socket as { _httpMessage?: ServerResponse | null })._httpMessage
  if (before === undefined || before === null) serve()
  else before.once('close', serve)
}
