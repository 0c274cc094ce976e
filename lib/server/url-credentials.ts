import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { EventEmitter } from 'node:events'
import { mayCarry, normalize, strip, withoutCredentials, type FoundCredentials } from './credential-parameters.js'

interface RawRequest {
  url?: string | undefined
  /** Set by Fastify's `rewriteUrl`. */
  originalUrl?: string | undefined
  headers?: Record<string, string | string[] | undefined>
  rawHeaders?: string[]
}

type Headers = NonNullable<RawRequest['headers']>

/**
 * The function to which Node's parser of HTTP/1 hands a request. There is no public way to be called before all other
 * code.
 */
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

const NONE: FoundCredentials = Object.freeze({})
const NEW_SOCKET = 'net.server.socket'

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
 * Takes `token` and `ticket` out of every URL below the prefix before other code can see them: Fastify and the app,
 * which would log them and repeat them in the body of a 404, and code that listens to the server, wraps its `emit` or
 * subscribes to Node's channels, as tracing does. From then on only `of` knows them. So other routes below the prefix
 * cannot use these two names.
 *
 * @param prefix as it stands in a URL
 * @param rewriteUrl the app's, which decides in the end to which route a URL belongs; called only for URLs with such
 *   a parameter
 */
export class UrlCredentials {
  readonly #server: EventEmitter
  readonly #base: string
  readonly #rewriteUrl: ((raw: object) => string | undefined) | undefined
  readonly #found = new WeakMap<object, FoundCredentials>()
  readonly #seen = new WeakSet<object>()
  readonly #followed = new Set<() => void>()

  /**
   * @param prefix as it stands in a URL
   * @param rewriteUrl the app's, which decides in the end to which route a URL belongs; called only for URLs with
   *   such a parameter
   */
  constructor (server: EventEmitter, prefix: string, rewriteUrl?: (raw: object) => string | undefined) {
    this.#server = server
    this.#base = normalize(prefix)
    this.#rewriteUrl = rewriteUrl
    this.#follow(server)
    subscribe(NEW_SOCKET, this.#onSocket)
    server.once('close', this.stop)
  }

  /**
   * Returns the credentials that the URL of a raw request carried. It takes them out first where no event did, because
   * requests of `inject` come without events.
   */
  of (raw: object): FoundCredentials {
    this.#take(raw)
    return this.#found.get(raw) ?? this.#found.get((raw as RawRequest).headers ?? raw) ?? NONE
  }

  /**
   * Makes the `logSerializers` of the plugin's routes; they keep the request serializer that the app gave its logger.
   */
  logSerializers (log?: object): { req: Serializer } {
    const serializers = (log as { [key: symbol]: { req?: Serializer } } | undefined)?.[Symbol.for('pino.serializers')]
    const { req = plainRequest } = serializers ?? {}
    return {
      req: (request) => {
        this.#take(request.raw)
        return req(request)
      }
    }
  }

  readonly stop = (): void => {
    for (const leave of [...this.#followed]) leave()
    this.#server.off('close', this.stop)
    unsubscribe(NEW_SOCKET, this.#onSocket)
  }

  #isOurs (url: string | undefined): boolean {
    if (url === undefined) return false
    const path = normalize(url)
    const { length } = this.#base
    return path.startsWith(this.#base) && (path.length === length || /[/;&]/.test(path[length]!))
  }

  /** @returns `undefined` for a URL that may stay as it is, as that of most requests, those of this plugin included */
  #cleaned (raw: RawRequest, url: string | undefined, key: object = raw): string | undefined {
    if (url === undefined || !mayCarry(url)) return undefined
    if (!this.#isOurs(url) && !this.#isOurs(raw.originalUrl === undefined ? this.#rewriteUrl?.(raw) : raw.url)) {
      return undefined
    }
    const stripped = strip(url)
    if (stripped === undefined) return undefined
    this.#found.set(key, { ...stripped.found, ...this.#found.get(key) })
    return stripped.url
  }

  readonly #take = (raw: RawRequest): void => {
    // This comes before the URL is changed, because the URL decides whose the original one is.
    const original = this.#cleaned(raw, raw.originalUrl)
    const url = this.#cleaned(raw, raw.url)
    if (url !== undefined) raw.url = url
    if (original !== undefined) raw.originalUrl = original
    if (raw.headers?.[':path'] !== undefined) this.#takeHeaders(raw.headers, raw.rawHeaders)
  }

  /** HTTP/2 has the URL among the headers, from which Node makes the request. */
  #takeHeaders (headers: Headers, rawHeaders: string[] = []): void {
    const path = headers[':path']
    const clean = typeof path === 'string' ? this.#cleaned({ url: path, headers }, path, headers) : undefined
    if (clean === undefined) return
    headers[':path'] = clean
    const at = rawHeaders.indexOf(':path')
    if (at !== -1) rawHeaders[at + 1] = clean
  }

  readonly #onStream = (_stream: unknown, headers: Headers, _flags: unknown, rawHeaders?: string[]): void => {
    this.#takeHeaders(headers, rawHeaders)
  }

  readonly #onConnection = (socket: ParsedSocket): void => {
    const { parser } = socket
    const onIncoming = parser?.onIncoming
    if (typeof onIncoming !== 'function') return
    parser!.onIncoming = (raw, shouldKeepAlive) => {
      this.#take(raw)
      return onIncoming(raw, shouldKeepAlive)
    }
  }

  /** Fastify logs a request that cannot be parsed with its bytes. */
  readonly #onClientError = (error: { rawPacket?: unknown }): void => {
    if (!Buffer.isBuffer(error.rawPacket)) return
    const text = error.rawPacket.toString('latin1')
    const clean = withoutCredentials(text)
    if (clean !== text) error.rawPacket = Buffer.from(clean, 'latin1')
  }

  #follow (other: EventEmitter): void {
    this.#seen.add(other)
    // Behind Node's own listener, which makes the parser.
    other.on('connection', this.#onConnection)
    other.on('secureConnection', this.#onConnection)
    // For requests without a parser: those of `injectWS` and of HTTP/2, and events that other code emits.
    other.prependListener('request', this.#take)
    other.prependListener('upgrade', this.#take)
    other.prependListener('stream', this.#onStream)
    // Node answers such errors itself while there is no listener.
    if (other.listenerCount('clientError') > 0) other.prependListener('clientError', this.#onClientError)
    const leave = (): void => {
      for (const event of ['connection', 'secureConnection']) other.off(event, this.#onConnection)
      for (const event of ['request', 'upgrade']) other.off(event, this.#take)
      other.off('stream', this.#onStream)
      other.off('clientError', this.#onClientError)
      other.off('close', leave)
      this.#followed.delete(leave)
    }
    this.#followed.add(leave)
    other.once('close', leave)
  }

  /**
   * Fastify serves the further addresses of `localhost` with servers of their own, which it does not expose; they have
   * the same request listener.
   */
  readonly #onSocket = (message: unknown): void => {
    const { socket } = message as { socket: ParsedSocket }
    const { server: other } = socket
    if (other === undefined || this.#seen.has(other)) return
    this.#seen.add(other)
    const ours = this.#server.listeners('request')
    if (!other.listeners('request').some((listener) => ours.includes(listener))) return
    this.#follow(other)
    this.#onConnection(socket)
  }
}
