import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/**
 * Largest number of header fields of one request. An honest client never sends more, and Node leaves the last ones out.
 */
const MOST_FIELDS = 1_000

function tokensOf (field: string | undefined): string[] {
  return (field ?? '').split(',').map((token) => token.trim().toLowerCase()).filter((token) => token !== '')
}

/**
 * Whether a request asks for another protocol than WebSocket, such as `h2c` of Java's HttpClient and of `curl --http2`.
 */
export function isForeignUpgrade ({ headers }: Partial<IncomingMessage>): boolean {
  const asked = tokensOf(headers?.upgrade)
  return asked.length > 0 && !asked.includes('websocket')
}

function withoutUpgradeTokens (connection: string): string {
  return tokensOf(connection).filter((token) => token !== 'upgrade' && token !== 'http2-settings').join(', ')
}

/** Names and values of a request's fields, without those that ask for another protocol. */
function withoutUpgrade (rawHeaders: readonly string[]): string[] {
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name, value] = [rawHeaders[i]!, rawHeaders[i + 1]!]
    const field = name.toLowerCase()
    if (field === 'upgrade' || field === 'http2-settings') continue
    const kept = field === 'connection' ? withoutUpgradeTokens(value) : value
    if (field !== 'connection' || kept !== '') fields.push(name, kept)
  }
  return fields
}

interface Asking { shouldUpgradeCallback?: (request: IncomingMessage) => boolean }

/**
 * Leaves a foreign upgrade that has a body to Node, where Node asks the server whether a request is an upgrade (22.21,
 * 24.9 and newer). Node 26 reads such a body itself, so `serveForeignUpgrade`, which serves all the others, could not
 * put it back.
 *
 * Node drops what has come behind such a request in the same packet. So its connection ends with the answer, and a peer
 * that pipelines sends the rest again (RFC 9112 9.3.2).
 *
 * @returns a function that undoes it
 */
export function declineForeignUpgrades (server: EventEmitter): () => void {
  const asking = server as EventEmitter & Asking
  const { shouldUpgradeCallback: should } = asking
  if (typeof should !== 'function') return () => {}
  const declined = new WeakSet<object>()
  const onRequest = (request: object, response: ServerResponse): void => {
    if (declined.has(request)) response.shouldKeepAlive = false
  }
  asking.shouldUpgradeCallback = function (request) {
    const { headers, rawHeaders } = request
    const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
    if (!hasBody || !isForeignUpgrade(request)) return should.call(this, request)
    const fields = withoutUpgrade(rawHeaders)
    rawHeaders.splice(0, rawHeaders.length, ...fields)
    delete headers.upgrade
    delete headers['http2-settings']
    const at = fields.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'connection')
    if (at === -1) delete headers.connection
    else headers.connection = fields[at + 1]
    declined.add(request)
    return false
  }
  server.prependListener('request', onRequest)
  return () => {
    asking.shouldUpgradeCallback = should
    server.off('request', onRequest)
  }
}

/**
 * Serves a request as if it had not asked for another protocol, which RFC 9110 7.8 lets a server do.
 *
 * Node has taken its parser off the socket by now. So the request is put back in front of the part of its body that has
 * come, without the fields that asked, and the server gets the socket once more: body, keep-alive, pipelining and
 * limits are then those of any other request.
 */
export function serveForeignUpgrade (server: EventEmitter, raw: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = raw
  if (socket.destroyed) return
  if (rawHeaders.length > 2 * MOST_FIELDS) {
    socket.destroy()
    return
  }
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  const fields = withoutUpgrade(rawHeaders)
  for (let i = 0; i < fields.length; i += 2) lines.push(`${fields[i]!}: ${fields[i + 1]!}`)
  const request = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  const serve = (): void => {
    // The error that destroyed the socket may still be on its way to the listener.
    if (socket.destroyed) return
    socket.unshift(head.length === 0 ? request : Buffer.concat([request, head]))
    server.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket)
    socket.off('error', onError)
  }
  const onError = (): void => { socket.destroy() }
  socket.on('error', onError)
  // An answer to an earlier request of this socket goes first, because the server that gets the socket again would not
  // wait for it.
  const before = (socket as { _httpMessage?: ServerResponse | null })._httpMessage
  if (before === undefined || before === null) serve()
  else before.once('close', serve)
}
