import { PROTOCOL } from './frames.js'

const BEARER = 'bearer.'
/**
 * Prefix for credentials that are no token of RFC 7230, which a subprotocol has to be: they come as base64url of their
 * UTF-8.
 */
const BEARER_64 = 'bearer64.'

/** Values of the header `Sec-WebSocket-Protocol`, in the order of the list. */
export function offeredProtocols (header: string | undefined): string[] {
  return header === undefined ? [] : header.split(',').map((part) => part.trim()).filter((part) => part !== '')
}

/** Selects the protocol for the answer: never a token, wherever it stands in the list. */
export function selectProtocol (offered: Iterable<string>): string | false {
  for (const name of offered) if (name === PROTOCOL) return PROTOCOL
  return false
}

/** Reads the token that a client offers among its subprotocols, since a browser can send no header with an upgrade. */
export function bearerOf (offered: readonly string[]): string | undefined {
  for (const name of offered) {
    if (name.startsWith(BEARER)) return name.slice(BEARER.length)
    if (name.startsWith(BEARER_64)) return Buffer.from(name.slice(BEARER_64.length), 'base64url').toString()
  }
  return undefined
}
