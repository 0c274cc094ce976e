import type {
  FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, HookHandlerDoneFunction,
  preHandlerHookHandler, RouteOptions
} from 'fastify'
import type { Awaitable } from '../structures/awaitable.js'
import type { Admission, Admitted } from '../admission/admission.js'
import type { Kind } from '../admission/query.js'
import type { Authentication } from '../auth/authentication.js'
import { offeredProtocols, selectProtocol } from '../protocol/subprotocol.js'
import { Connection, type ConnectionHost } from '../connection/connection.js'
import type { Connections } from '../connection/connections.js'
import type { Link } from '../connection/link.js'
import type { Peer } from '../admission/peer.js'
import type { Dispatch } from '../dispatch/dispatch.js'
import type { JoinResult } from '../dispatch/joins.js'
import { logCause, requestRefusalOf, secondsOf, sendJson, sendRefusal } from '../errors/http.js'
import { ofUser, Refusal } from '../errors/refusal.js'
import { Exchanges } from './exchanges.js'
import type { Settings } from '../options/resolve.js'
import { DEFAULTS } from '../options/defaults.js'
import type { Polls } from './polls.js'
import type { Prefix } from './prefix.js'
import { PROTOCOL } from '../protocol/frames.js'
import { isOffset } from '../protocol/position.js'
import { parseJson } from '../protocol/json.js'
import type { Membership } from '../rooms/room.js'
import type { Refusals } from '../admission/refusals.js'
import type { Slots } from '../admission/slots.js'
import type { Ledger, Transport } from '../stats/ledger.js'
import { CursorTrack } from '../transports/cursor-track.js'
import { encodeRetry, retryAdvice, SSE_HEADERS, SseLink } from '../transports/sse.js'
import type { Upgrade, WebSocketTransport } from '../transports/websocket.js'
import type { RealtimeOptions } from '../types/options.js'
import type { Uplink } from './uplink.js'
import type { UserRateLimiter } from './user-rate-limiter.js'
import { Welcome } from './welcome.js'

export interface EndpointOptions {
  readonly settings: Settings
  readonly prefix: Prefix
  readonly route: RealtimeOptions['route']
  readonly admission: Admission
  readonly auth: Authentication
  readonly dispatch: Dispatch
  readonly connections: Connections<Membership>
  readonly slots: Slots
  readonly polls: Polls
  readonly exchanges: Exchanges
  readonly uplink: Uplink
  readonly rates: UserRateLimiter
  readonly ledger: Ledger
  readonly refusals: Refusals
  readonly host: ConnectionHost<Membership>
  readonly websocket: WebSocketTransport
  readonly upgradeOf: (request: FastifyRequest) => Upgrade | undefined
  readonly settle: (request: FastifyRequest) => void
  /** milliseconds of a drain turn, while draining: what a connection that just opened is told */
  readonly log: FastifyBaseLogger
  readonly logSerializers: Record<string, (value: never) => unknown>
}

type Hook = (request: FastifyRequest, reply: FastifyReply) => Promise<void>
/** What `Admission` found, on its way to the handler. */
const ADMITTED = Symbol('realtime.admitted')
type AdmittedRequest = FastifyRequest & { [ADMITTED]: Admitted | null }

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

/** Milliseconds beside what is waited for: hooks of the app, the broker, a busy process. */
const SPARE = 30_000

/**
 * The routes of all rooms: one URL for WebSocket, Server-Sent Events, long polls and messages by POST, behind one
 * admission.
 */
export class Endpoint {
  readonly #options: EndpointOptions
  readonly #welcome: Welcome
  /** of requests that hold slots and are not connections yet */
  readonly #underWay = new Set<string>()

  constructor (options: EndpointOptions) {
    this.#options = options
    this.#welcome = new Welcome(options.settings)
  }

  register (scope: FastifyInstance): void {
    const { settings, route = {}, logSerializers } = this.#options
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('application/json', {
      parseAs: 'string',
      bodyLimit: settings.limits.message
    }, (_request, body, done) => {
      try {
        done(null, { json: parseJson(body as string), bytes: Buffer.byteLength(body as string) })
      } catch (error) {
        done(new Refusal('invalid_message', { message: `not acceptable JSON: ${(error as Error).message}` }))
      }
    })
    // A property from the start: a WeakMap would cost a hash and an entry for each request.
    scope.decorateRequest(ADMITTED as never, null as never)
    const own = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void => {
      this.#admit(request, reply, done)
    }
    const upgrade = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void => {
      if (!request.ws) return done()
      try {
        this.#upgrade(request, reply)
      } catch (error) {
        done(error as Error)
      }
    }
    const common: Omit<RouteOptions, 'method' | 'url' | 'handler'> = {
      ...(route.constraints === undefined ? {} : { constraints: route.constraints }),
      ...(route.logLevel === undefined ? {} : { logLevel: route.logLevel }),
      config: { ...route.config, realtime: true } as object,
      logSerializers: logSerializers as never,
      onRequest: list<Hook>(route.onRequest),
      preValidation: [...list<Hook>(route.preValidation), own],
      preHandler: [...list<preHandlerHookHandler>(route.preHandler), upgrade],
      ...this.#patience(scope),
      errorHandler: (error, request, reply) => { this.#refuse(error, request, reply) },
      exposeHeadRoute: false
    }
    const schema = { ...route.schema } as FastifySchema
    const head: Handler = async (_request, reply) => await reply.headers(ANSWER_HEADERS).send()
    const get: Handler = async (request, reply) => await this.#get(request, reply)
    const post: Handler = async (request, reply) => {
      const admitted = admittedOf(request)
      try {
        return await sendJson(
          reply.headers(ANSWER_HEADERS),
          await this.#options.uplink.post(request, admitted, this.#path(request))
        )
      } catch (error) {
        throw ofUser(error, admitted.identity.userId)
      }
    }
    const ticket: Handler = async (request, reply) => await this.#ticket(request, reply)
    for (const url of ['', '/*']) {
      scope.route({ ...common, method: 'HEAD', url, schema: { ...schema, hide: true } as FastifySchema, handler: head })
      scope.route({ ...common, method: 'GET', url, schema, handler: get })
      scope.route({ ...common, method: 'POST', url, schema, bodyLimit: settings.limits.message, handler: post })
    }
    scope.route({
      ...common,
      preValidation: list<Hook>(route.preValidation),
      method: 'POST',
      url: '/ticket',
      schema,
      handler: ticket
    })
  }

  /** What the app's `route` option adds to every route of the plugin. */
  get sharedRoute (): object {
    const { route = {}, logSerializers } = this.#options
    const { schema: _schema, preValidation, onRequest, preHandler, config, ...rest } = route
    return {
      ...rest,
      config: { ...config, realtime: true },
      logSerializers,
      onRequest: list(onRequest),
      preValidation: list(preValidation),
      preHandler: list(preHandler)
    }
  }

  /** A request is still being let in under this id. */
  isUnderWay (id: string): boolean { return this.#underWay.has(id) }

  /**
   * A time that the app gives its handlers is for its handlers: a poll waits longer on purpose, and answers in a time
   * of its own.
   */
  #patience ({ initialConfig }: FastifyInstance): { handlerTimeout?: number } {
    const { handlerTimeout = 0 } = initialConfig as { handlerTimeout?: number }
    if (handlerTimeout === 0) return {}
    const { authentication, handler } = this.#options.settings.timeouts
    return {
      handlerTimeout: Math.min(
        2_147_483_647,
        Math.max(handlerTimeout, authentication + Math.max(handler, DEFAULTS.pollWait) + SPARE)
      )
    }
  }

  /** The room of the URL as it stood there: decoding first would let `%2F` part a name. */
  #path (request: FastifyRequest): string {
    return this.#options.prefix.below(request.raw.url ?? '')
  }

  #admit (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
    const pass = (admitted: Admitted): void => {
      (request as AdmittedRequest)[ADMITTED] = admitted
      done()
      // After what comes next: nothing closes in the middle of a turn, and most connections stand by now.
      if (admitted.isReserved && this.#options.connections.get(admitted.connectionId) === undefined) {
        this.#watch(request, admitted.connectionId)
      }
    }
    // What is not an error would be taken for none.
    const fail = (error: unknown): void => {
      done(error instanceof Error ? error : new Error(`${String(error)} was thrown`))
    }
    let admitted: Awaitable<Admitted>
    try {
      const kind = kindOf(request)
      const offered = kind === 'websocket' ? checkHandshake(request) : undefined
      if (kind === 'sse' || kind === 'polling') checkOwnTurn(request, reply)
      admitted = this.#options.admission.admit(request, kind, this.#path(request), offered)
    } catch (error) {
      fail(error)
      return
    }
    if (admitted instanceof Promise) admitted.then(pass, fail)
    else pass(admitted)
  }

  /**
   * Until a connection stands, nothing but the transport's end tells that its slots are free again: a later hook may
   * refuse it, or the client go.
   */
  #watch (request: FastifyRequest, id: string): void {
    const { connections, slots, upgradeOf, exchanges } = this.#options
    this.#underWay.add(id)
    const release = (): void => {
      this.#underWay.delete(id)
      if (connections.get(id) === undefined) slots.release(id)
    }
    if (!request.ws) return exchanges.whenOver(request.raw, release)
    const socket = upgradeOf(request)?.socket
    if (socket === undefined || socket.destroyed) release()
    else socket.once('close', release)
  }

  #refuse (error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const { refusal: said, cause } = requestRefusalOf(error, reply)
    logCause(request, said, cause, 'a request to a room failed')
    this.#options.ledger.refused(said.word)
    this.#options.refusals.note(said, { address: request.ip ?? '', request })
    // What the app's own hooks refuse, they refuse the request for the verdict as well.
    if (request.ws && error instanceof Refusal) this.#options.admission.remember(request, this.#path(request), said)
    // HTTP/2 knows no such header.
    if (request.raw.httpVersionMajor === 1) void reply.header('connection', 'close')
    if (said.statusCode === 426) void reply.header('sec-websocket-version', '13')
    sendRefusal(reply, said, ANSWER_HEADERS)
  }

  // WebSocket

  #upgrade (request: FastifyRequest, reply: FastifyReply): void {
    const admitted = admittedOf(request)
    const { admission, slots, websocket, upgradeOf, settle } = this.#options
    admission.confirm(admitted)
    const upgrade = upgradeOf(request)
    void reply.hijack()
    if (upgrade === undefined || upgrade.socket.destroyed) return
    settle(request)
    releaseResponse(reply)
    const link = websocket.accept(upgrade)
    if (link === undefined) slots.release(admitted.connectionId)
    else this.#open(this.#connect(admitted, request.ip ?? '', link), admitted)
  }

  #connect (
    { connectionId, identity }: Admitted,
    address: string,
    link: Link | undefined,
    transport: Transport = link!.transport
  ): Peer {
    const { host, connections, slots, ledger, log } = this.#options
    this.#underWay.delete(connectionId)
    const replaced = slots.replace(connectionId)
    if (replaced !== undefined) connections.get(replaced)?.close('replaced')
    const connection = new Connection<Membership>(host, { id: connectionId, address, identity })
    connections.add(connection, transport)
    ledger.opened[transport]++
    log.info({ connectionId, userId: identity.userId, transport, address }, 'connection opened')
    if (link !== undefined) connection.attach(link)
    return connection
  }

  #open (connection: Peer, { entries, since }: Admitted, entered?: (rooms: readonly JoinResult[]) => void): void {
    const failed = (error: unknown): void => {
      this.#options.log.error({ err: error, connectionId: connection.id }, 'opening a connection failed')
      connection.close('internal')
    }
    try {
      const opened = this.#options.dispatch.joins.open(connection, entries, since, (rooms) => {
        entered?.(rooms)
        return this.#welcome.packet(connection, rooms)
      })
      if (opened instanceof Promise) opened.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  // Streams and polls

  async #get (request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const admitted = admittedOf(request)
    switch (admitted.kind) {
      case 'verdict':
        return await sendJson(reply.headers(ANSWER_HEADERS), {
          userId: admitted.identity.userId,
          rooms: admitted.entries.map(({ name }) => name)
        })
      case 'sse': return this.#stream(request, reply, admitted)
      default: return await this.#poll(request, reply, admitted)
    }
  }

  #stream (request: FastifyRequest, reply: FastifyReply, admitted: Admitted): FastifyReply {
    const { settings, admission } = this.#options
    const { raw } = reply
    admission.confirm(admitted)
    void reply.hijack()
    if (raw.destroyed || raw.socket?.destroyed === true) return reply
    this.#options.exchanges.streams(request.raw)
    const { cursorRooms, entries, connectionId } = admitted
    const track = new CursorTrack(connectionId, cursorRooms)
    for (const { name, request } of entries) track.begin(name, request)
    // A time without traffic that the server has for requests: what a stream may be silent for is said by its comments.
    raw.socket?.setTimeout?.(0)
    // What the app's hooks set (CORS above all) is lost by a hijack unless it is copied.
    raw.writeHead(200, { ...reply.getHeaders() as Record<string, string>, vary: varied(reply), ...SSE_HEADERS })
    raw.write(encodeRetry(retryAdvice()))
    raw.flushHeaders()
    const connection = this.#connect(admitted, request.ip ?? '', new SseLink(raw, track))
    connection.beatAt = performance.now()
    // A stream opened by ticket cannot come back by itself: its credential is spent.
    if (admitted.carrier !== 'ticket') {
      connection.endsAt = performance.now() + settings.sse.age * (0.8 + Math.random() * 0.4)
    }
    this.#open(connection, admitted, (rooms) => {
      for (const result of rooms) {
        if ('data' in result) track.enter(result.name, result.data)
      }
    })
    return reply
  }

  async #poll (request: FastifyRequest, reply: FastifyReply, admitted: Admitted): Promise<unknown> {
    const { admission, dispatch, polls, exchanges } = this.#options
    const { known, entries, cursor, since } = admitted
    const { raw } = reply
    admission.confirm(admitted)
    if (known === undefined && (raw.socket?.destroyed === true || raw.destroyed)) return await reply.send()
    const connection = known ?? this.#connect(admitted, request.ip ?? '', undefined, 'polling')
    if (known !== undefined) this.#options.connections.renew(connection, admitted.identity)
    // Who asks too often is not refused but waits: what it would be told stays in the history.
    const hold = known?.spend(performance.now()) ?? 0
    if (connection.ending !== undefined) throw ofUser(connection.ending, connection.userId)
    // It is silent for as long as it was asked to; Node sets the time anew for the next request.
    raw.socket?.setTimeout?.(0)
    // Without a cursor it is a first look: answered at once.
    const wait = cursor === undefined ? 0 : waitOf(request)
    const answer = await polls.run(connection, admitted, { wait, hold }, async () => {
      let entered: readonly JoinResult[] = []
      await dispatch.joins.open(connection, entries, since, (rooms) => {
        entered = rooms
        return undefined
      })
      return entered
    }, (callback) => { exchanges.whenOver(request.raw, () => { if (!raw.writableFinished) callback() }) })
    if (answer instanceof Refusal) throw ofUser(answer, connection.userId)
    if (connection.ending !== undefined) throw ofUser(connection.ending, connection.userId)
    if (cursor === undefined) void reply.header('x-user-id', encodeURIComponent(connection.userId))
    if (connection.retryAfter !== undefined) {
      void reply.header('retry-after', secondsOf(connection.retryAfter))
    }
    polls.answered(connection, () => {
      exchanges.cut(request.raw)
    }, (callback) => { exchanges.whenOver(request.raw, callback) })
    return await sendJson(reply.headers(ANSWER_HEADERS), answer)
  }

  // HTTP callers

  async #ticket (request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { admission, auth } = this.#options
    admission.checkCaller(request)
    return await sendJson(
      reply.headers(ANSWER_HEADERS),
      await auth.issueTicket(request, (userId) => { this.#options.rates.spend(userId) })
    )
  }
}

const ANSWER_HEADERS = { 'cache-control': 'no-store', vary: 'Accept, Origin, Authorization' } as const

/** Taken off the request: it may be kept longer than it is of use. */
function admittedOf (request: FastifyRequest): Admitted {
  const carrier = request as AdmittedRequest
  const admitted = carrier[ADMITTED]!
  carrier[ADMITTED] = null
  return admitted
}

function varied (reply: FastifyReply): string {
  const own = reply.getHeader('vary')
  return own === undefined ? ANSWER_HEADERS.vary : `${String(own)}, ${ANSWER_HEADERS.vary}`
}

function list<H> (hooks: unknown): H[] {
  return hooks === undefined ? [] : Array.isArray(hooks) ? hooks as H[] : [hooks as H]
}

export function kindOf (request: FastifyRequest): Kind {
  if (request.ws) return 'websocket'
  if (request.method === 'POST') return 'uplink'
  const { verdict, transport } = request.query as { verdict?: unknown, transport?: unknown }
  if (request.method === 'HEAD' || verdict === '1') return 'verdict'
  if (transport === 'sse') return 'sse'
  return transport !== 'polling' && /(^|,)\s*text\/event-stream\s*(;|,|$)/i.test(request.headers.accept ?? '')
    ? 'sse'
    : 'polling'
}

/**
 * A stream or poll is answered late or never; behind another answer on one socket it would hold its slots for as long,
 * unheard.
 */
function checkOwnTurn ({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (Exchanges.isBehind(raw, reply.raw)) {
    throw new Refusal('protocol', {
      message: 'a stream or a poll waits for no other answer on its connection (HTTP pipelining)'
    })
  }
}

/** Tokens of RFC 9110 5.6.2 with commas between them. */
const PROTOCOLS = /^[ \t]*[!#$%&'*+.^_`|~\dA-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~\dA-Za-z-]+)*[ \t]*$/

/**
 * What `ws` would refuse after the admission is refused before it, so that no slot is taken for it.
 *
 * @returns the subprotocols that are offered
 */
function checkHandshake (request: FastifyRequest): readonly string[] {
  const { headers } = request
  if (request.method !== 'GET') {
    throw new Refusal('protocol', {
      message: 'a WebSocket is opened by GET',
      as: { code: 'protocol', statusCode: 405 }
    })
  }
  if (String(headers['sec-websocket-version']) !== '13') {
    throw new Refusal('protocol', {
      message: 'Sec-WebSocket-Version must be 13',
      as: { code: 'protocol', statusCode: 426 }
    })
  }
  if (!/^[+/0-9A-Za-z]{22}==$/.test(String(headers['sec-websocket-key']))) {
    throw new Refusal('protocol', { message: 'Sec-WebSocket-Key is missing or malformed' })
  }
  const offered = offeredProtocols(request.headers['sec-websocket-protocol'])
  const list = headers['sec-websocket-protocol']
  if (list !== undefined && (!PROTOCOLS.test(list) || new Set(offered).size < offered.length)) {
    throw new Refusal('protocol', { message: 'Sec-WebSocket-Protocol is a list of tokens (RFC 6455 4.1), each once' })
  }
  if (offered.length > 0 && selectProtocol(offered) === false) {
    throw new Refusal('protocol', { message: `offer the subprotocol ${PROTOCOL}` })
  }
  return offered
}

function waitOf (request: FastifyRequest): number {
  const { wait } = request.query as { wait?: unknown }
  if (wait === undefined) return DEFAULTS.pollWait
  const asked = typeof wait === 'string' && /^\d{1,9}$/.test(wait) ? Number(wait) : undefined
  if (!isOffset(asked)) throw new Refusal('invalid_message', { message: 'wait must be milliseconds, a whole number' })
  return Math.min(asked, DEFAULTS.pollWait)
}

/**
 * An upgraded socket needs its request and response no more; both would stay in memory with it, hooks and headers
 * included. `detachSocket` is what Node itself does when a response ends.
 */
function releaseResponse (reply: FastifyReply): void {
  const { raw } = reply
  if (raw.socket !== null && raw.socket !== undefined) raw.detachSocket(raw.socket)
}
