import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { EventEmitter } from 'node:events'

export interface FoundCredentials { readonly token?: string, readonly ticket?: string }

interface RawRequest {
  url?: string | undefined
  /** set by Fastify's `rewriteUrl` */
  originalUrl?: string | undefined
  headers?: Record<string, string | string[] | undefined>
  rawHeaders?: string[]
}

type Headers = NonNullable<RawRequest['headers']>

/** What Node's parser of HTTP/1 hands a request to; there is no public way to be asked before everybody else. */
interface Parser { onIncoming?: ((raw: RawRequest, shouldKeepAlive: boolean) => unknown) | null }
type ParsedSocket = object & { readonly parser?: Parser | null, readonly server?: EventEmitter }

/** The part of a Fastify request that its log serializer reads. */
interface LoggedRequest {
  readonly raw: object
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string | string[] | undefined>
  readonly host?: string
  readonly ip?: string
  readonly socket?: { readonly remotePort?: number | undefined } | null
}

type Serializer = (request: LoggedRequest) => unknown

export interface UrlCredentials {
  /**
   * The credentials that the URL of a raw request carried. Takes them out first where no event did: requests of
   * `inject` come without.
   */
  of (raw: object): FoundCredentials
  /** For `logSerializers` of our routes; keeps the request serializer that the app gave its logger. */
  logSerializers (log?: object): { req: Serializer }
  stop (): void
}

type Name = keyof FoundCredentials

/** One of the names, or an escaped letter of one. */
const SUSPECT = /token|ticket|%[67]/

const NONE: FoundCredentials = Object.freeze({})
const NEW_SOCKET = 'net.server.socket'

/** Decodes what can be decoded and leaves the rest: a malformed escape must not carry a credential past us. */
function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replace(/%([0-7][0-9a-f])/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  }
}

function nameOf (text: string): Name | undefined {
  const name = text.includes('%') ? decode(text) : text
  return name === 'token' || name === 'ticket' ? name : undefined
}

/** Where the router may end a path, and on either side of what a parameter may stand: more than it does, never less. */
const DELIMITER = /([?#&;])/

/** The URL without the parameters `token` and `ticket`, and their first values. */
function strip (url: string): { url: string, found: FoundCredentials } | undefined {
  const [path = '', ...parts] = url.split(DELIMITER)
  const found: { token?: string, ticket?: string } = {}
  let rest = ''
  let hit = false
  for (let i = 0; i < parts.length; i += 2) {
    const delimiter = parts[i]!
    const text = parts[i + 1]!
    const at = text.indexOf('=')
    const name = nameOf(at === -1 ? text : text.slice(0, at))
    if (name === undefined) {
      rest += (hit && rest === '' ? '?' : delimiter) + text
      continue
    }
    hit = true
    const value = at === -1 ? '' : decode(text.slice(at + 1).replaceAll('+', ' '))
    if (value !== '') found[name] ??= value
  }
  return hit ? { url: path + rest, found } : undefined
}

/**
 * The path as the most lenient router would read it: `/WS`, `//ws`, `/%77s` and `http://host/ws` are all below
 * `/ws`.
 */
function normalize (url: string): string {
  const end = url.search(/[?#]/)
  const path = (end === -1 ? url : url.slice(0, end)).replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '')
  return decode(path).replace(/\/{2,}/g, '/').toLowerCase()
}

function plainRequest (request: LoggedRequest): unknown {
  return {
    method: request.method,
    url: request.url,
    version: request.headers['accept-version'],
    host: request.host,
    remoteAddress: request.ip,
    remotePort: request.socket?.remotePort
  }
}

/** The credentials in the bytes of a request that could not be parsed: parameters of its URL, and values of headers. */
function withoutCredentials (text: string): string {
  return text
    .replace(
      /([?#&;])([^=?#&;\s]*)=[^?#&;\s]*/g,
      (whole, delimiter: string, name: string) => nameOf(name) === undefined ? whole : `${delimiter}${name}=`
    )
    .replace(/^((?:authorization|cookie)[ \t]*:).*$/gim, '$1')
    .replace(/\b(bearer(?:64)?\.)[^\s,]+/gi, '$1')
}

/**
 * Takes `token` and `ticket` out of every URL below the prefix, before anybody can see them: Fastify and the app,
 * in whose log they would
 * stand, and in the body of a 404; whoever listens to the server, wraps its `emit` or subscribes to Node's
 * channels, as tracing does. From
 * here on only `of` knows them. Both names are therefore not to be had by other routes below the prefix.
 *
 * @param prefix as it stands in a URL
 * @param rewriteUrl the app's, which decides in the end whose a URL is; asked for URLs alone that have such a parameter
 */
export function createUrlCredentials (
  server: EventEmitter,
  prefix: string,
  rewriteUrl?: (raw: object) => string | undefined
): UrlCredentials {
  const base = normalize(prefix)
  const vault = new WeakMap<object, FoundCredentials>()
  const seen = new WeakSet<object>()
  const followed = new Set<() => void>()

  function isOurs (url: string | undefined): boolean {
    if (url === undefined) return false
    const path = normalize(url)
    return path.startsWith(base) && (path.length === base.length || /[/;&]/.test(path[base.length]!))
  }

  function cleaned (raw: RawRequest, url: string | undefined, key: object = raw): string | undefined {
    // most requests end here, ours included
    if (url === undefined || !SUSPECT.test(url) || !/[?#&;]/.test(url)) return undefined
    if (!isOurs(url) && !isOurs(raw.originalUrl === undefined ? rewriteUrl?.(raw) : raw.url)) return undefined
    const stripped = strip(url)
    if (stripped === undefined) return undefined
    vault.set(key, { ...stripped.found, ...vault.get(key) })
    return stripped.url
  }

  function take (raw: RawRequest): void {
    // Before the URL, which tells whose the other one is.
    const original = cleaned(raw, raw.originalUrl)
    const url = cleaned(raw, raw.url)
    if (url !== undefined) raw.url = url
    if (original !== undefined) raw.originalUrl = original
    if (raw.headers?.[':path'] !== undefined) takeHeaders(raw.headers, raw.rawHeaders)
  }

  /** HTTP/2 has the URL among the headers, from which Node makes the request. */
  function takeHeaders (headers: Headers, rawHeaders: string[] = []): void {
    const path = headers[':path']
    const clean = typeof path === 'string' ? cleaned({ url: path, headers }, path, headers) : undefined
    if (clean === undefined) return
    headers[':path'] = clean
    const at = rawHeaders.indexOf(':path')
    if (at !== -1) rawHeaders[at + 1] = clean
  }

  function onStream (
    _stream: unknown,
    headers: Headers,
    _flags: unknown,
    rawHeaders?: string[]
  ): void { takeHeaders(headers, rawHeaders) }

  function onConnection (socket: ParsedSocket): void {
    const { parser } = socket
    const onIncoming = parser?.onIncoming
    if (typeof onIncoming !== 'function') return
    parser!.onIncoming = (raw, shouldKeepAlive) => {
      take(raw)
      return onIncoming(raw, shouldKeepAlive)
    }
  }

  // Fastify logs a request that cannot be parsed with its bytes.
  function onClientError (error: { rawPacket?: unknown }): void {
    if (!Buffer.isBuffer(error.rawPacket)) return
    const text = error.rawPacket.toString('latin1')
    const clean = withoutCredentials(text)
    if (clean !== text) error.rawPacket = Buffer.from(clean, 'latin1')
  }

  function follow (other: EventEmitter): void {
    seen.add(other)
    // behind Node's own listener, which makes the parser
    other.on('connection', onConnection)
    other.on('secureConnection', onConnection)
    // for what comes without a parser: `injectWS`, HTTP/2, and whoever emits by himself
    other.prependListener('request', take)
    other.prependListener('upgrade', take)
    other.prependListener('stream', onStream)
    // Node answers such errors itself while nobody listens
    if (other.listenerCount('clientError') > 0) other.prependListener('clientError', onClientError)
    const leave = (): void => {
      for (const event of ['connection', 'secureConnection']) other.off(event, onConnection)
      for (const event of ['request', 'upgrade']) other.off(event, take)
      other.off('stream', onStream)
      other.off('clientError', onClientError)
      other.off('close', leave)
      followed.delete(leave)
    }
    followed.add(leave)
    other.once('close', leave)
  }

  // Fastify serves the further addresses of `localhost` with servers of their own, which it shows nobody; they
  // have the same request listener.
  function onSocket (message: unknown): void {
    const { socket } = message as { socket: ParsedSocket }
    const { server: other } = socket
    if (other === undefined || seen.has(other)) return
    seen.add(other)
    const ours = server.listeners('request')
    if (!other.listeners('request').some((listener) => ours.includes(listener))) return
    follow(other)
    onConnection(socket)
  }

  follow(server)
  subscribe(NEW_SOCKET, onSocket)
  server.once('close', stop)

  function stop (): void {
    for (const leave of [...followed]) leave()
    server.off('close', stop)
    unsubscribe(NEW_SOCKET, onSocket)
  }

  return {
    of (raw) {
      take(raw)
      return vault.get(raw) ?? vault.get((raw as RawRequest).headers ?? raw) ?? NONE
    },
    logSerializers (log) {
      const { req = plainRequest } = (log as { [key: symbol]: { req?: Serializer } } | undefined)?.[Symbol.for(
        'pino.serializers'
      )] ??
        {}
      return {
        req (request) {
          take(request.raw)
          return req(request)
        }
      }
    },
    stop
  }
}
