import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { EventEmitter } from 'node:events'

export interface UrlCredentials { readonly token?: string, readonly ticket?: string }

interface RawRequest {
  url?: string | undefined
  /** set by Fastify's `rewriteUrl` */
  originalUrl?: string | undefined
  headers?: Record<string, string | string[] | undefined>
}

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

export interface CredentialVault {
  /** The credentials that the URL of a raw request carried. Takes them out first where no event did: requests of `inject` come without. */
  of (raw: object): UrlCredentials
  /** For `logSerializers` of our routes; keeps the request serializer that the app gave its logger. */
  logSerializers (log?: object): { req: Serializer }
  stop (): void
}

type Name = keyof UrlCredentials

/** One of the names, or an escaped letter of one. */
const SUSPECT = /token|ticket|%[67]/

const NONE: UrlCredentials = Object.freeze({})
const REQUEST_START = 'http.server.request.start'

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
function strip (url: string): { url: string, found: UrlCredentials } | undefined {
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

/** The path as leniently as any router might read it: `/WS`, `//ws`, `/%77s` and `http://host/ws` are all below `/ws`. */
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

/**
 * Takes `token` and `ticket` out of every URL below the prefix, before Fastify or the app can see them: they would stand in the request log, in the message
 * and the body of a 404, in the body of a 400. From here on only `of` knows them. Both names are therefore not to be had by other routes below the prefix.
 */
export function createUrlCredentials (server: EventEmitter, prefix: string): CredentialVault {
  const base = normalize(prefix)
  const vault = new WeakMap<object, UrlCredentials>()

  function isOurs (url: string): boolean {
    const path = normalize(url)
    return path.startsWith(base) && (path.length === base.length || /[/;&]/.test(path[base.length]!))
  }

  function cleaned (raw: object, url: string | undefined): string | undefined {
    // most requests end here, ours included
    if (url === undefined || !SUSPECT.test(url) || !/[?#&;]/.test(url) || !isOurs(url)) return undefined
    const stripped = strip(url)
    if (stripped === undefined) return undefined
    vault.set(raw, { ...stripped.found, ...vault.get(raw) })
    return stripped.url
  }

  function take (raw: RawRequest): void {
    const url = cleaned(raw, raw.url)
    if (url !== undefined) raw.url = url
    const original = cleaned(raw, raw.originalUrl)
    if (original !== undefined) raw.originalUrl = original
    // HTTP/2 has the URL among the headers too
    const path = raw.headers?.[':path']
    const clean = typeof path === 'string' ? cleaned(raw, path) : undefined
    if (clean !== undefined) raw.headers![':path'] = clean
  }

  // Fastify serves the further addresses of `localhost` with servers of their own, which it shows nobody; they have the same request listener.
  function onStart (message: unknown): void {
    const { request, server: other } = message as { request: RawRequest, server: EventEmitter }
    if (other === server) return
    const ours = server.listeners('request')
    if (other.listeners('request').some((listener) => ours.includes(listener))) take(request)
  }

  // Fastify logs a request that cannot be parsed with its bytes.
  function onClientError (error: { rawPacket?: unknown }): void {
    if (!Buffer.isBuffer(error.rawPacket)) return
    const text = error.rawPacket.toString('latin1')
    const clean = text.replace(/([?#&;])([^=?#&;\s]*)=[^?#&;\s]*/g, (whole, delimiter: string, name: string) =>
      nameOf(name) === undefined ? whole : `${delimiter}${name}=`)
    if (clean !== text) error.rawPacket = Buffer.from(clean, 'latin1')
  }

  server.prependListener('request', take)
  server.prependListener('upgrade', take)
  // Node answers such errors itself while nobody listens
  const hearsErrors = server.listenerCount('clientError') > 0
  if (hearsErrors) server.prependListener('clientError', onClientError)
  subscribe(REQUEST_START, onStart)
  server.once('close', stop)

  function stop (): void {
    server.off('request', take)
    server.off('upgrade', take)
    server.off('clientError', onClientError)
    server.off('close', stop)
    unsubscribe(REQUEST_START, onStart)
  }

  return {
    of (raw) {
      take(raw)
      return vault.get(raw) ?? NONE
    },
    logSerializers (log) {
      const { req = plainRequest } = (log as { [key: symbol]: { req?: Serializer } } | undefined)?.[Symbol.for('pino.serializers')] ?? {}
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
