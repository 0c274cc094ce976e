import { failure, refused } from './errors.js'
import { canStream, here } from './platform.js'
import type { ConnectOptions, Transport } from './types.js'

const NUMBER = /^number (?!-|0$|N)/
/** What the type and the text of an option's value look like together; `null` is a type of its own. */
const OPTIONS = {
  // `null` is what a page's storage returns for a token that it does not have.
  token: /^([sf]|null)/,
  transports: /^object (,?(websocket|sse|polling))+$/,
  queue: /^o/,
  timeout: NUMBER,
  signal: /^o/,
  WebSocket: /^[fo]/,
  traceparent: /^f/,
  fetch: /^f/,
  share: /^[fb]/
}
const QUEUE = { messages: NUMBER, bytes: NUMBER, age: NUMBER, overflow: / (reject|drop-oldest)$/ }

const misuse = (message: string): Error => failure(refused('REALTIME_ERR_OPTIONS', `connect(): ${message}`))

function check (given: object, known: Readonly<Record<string, RegExp>>): void {
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined && !known[name]?.test(`${value === null ? value : typeof value} ${value}`)) {
      throw misuse(`${name} cannot be ${value}; known: ${Object.keys(known)}`)
    }
  }
}

/** @throws an error of code `REALTIME_ERR_OPTIONS` that names the option, its value and the known options */
export function checkOptions (options: ConnectOptions): void {
  check({ options }, { options: /^o/ })
  check(options, OPTIONS)
  check(options.queue ?? {}, QUEUE)
}

/**
 * @returns the transports that can work here, of those that are wanted
 * @throws an error of code `REALTIME_ERR_OPTIONS` where there is none
 */
export function possibleTransports ({
  transports = ['websocket', 'sse', 'polling'], fetch: ask = globalThis.fetch
}: ConnectOptions): Transport[] {
  const possible = transports.filter((name) => typeof AbortController === 'function' &&
    (name === 'websocket' || (ask && (name === 'polling' || canStream(ask)))))
  if (possible.length) return possible
  throw misuse(`${transports} lacks fetch, TextDecoder, streams or AbortController`)
}

/**
 * @returns the URL, which is absolute; where a page is rendered on a server it may be a path
 * @throws an error of code `REALTIME_ERR_OPTIONS`
 */
export function checkUrl (given: string | URL): string {
  const { location, navigator } = here
  try {
    // What is neither throws here, as a URL does below that cannot be read.
    const url = (given as URL).href ?? given as string
    const isPath = url.startsWith('/') && !/[?#]/.test(url)
    if (isPath && !location && navigator?.product !== 'ReactNative') return url
    const absolute = here.URL ? new URL(url, location?.href).href : url
    if (/^(ws|http)[^?#]+$/.test(absolute)) return absolute
  } catch {}
  throw misuse(`${given} is no URL of an endpoint, has a query, or no host`)
}
