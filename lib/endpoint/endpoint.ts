import type {
  FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, HookHandlerDoneFunction,
  preHandlerHookHandler, RouteOptions
} from 'fastify'
import type { Admission, Admitted } from '../admission/admission.js'
import type { PeerHost, Peers } from '../admission/peer.js'
import type { Refusals } from '../admission/refusals.js'
import type { Slots } from '../admission/slots.js'
import type { Authentication } from '../auth/authentication.js'
import type { Dispatch } from '../dispatch/dispatch.js'
import type { FailureLog } from '../errors/failure-log.js'
import { logCause, requestRefusalOf, sendJson, sendRefusal } from '../errors/http.js'
import { ofUser, Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import { documented, ROUTES } from '../options/route-schemas.js'
import type { Settings } from '../options/resolve.js'
import type { Ledger } from '../stats/ledger.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { Upgrade, WebSocketTransport } from '../transports/websocket.js'
import type { RealtimeOptions } from '../types/options.js'
import type { Exchanges } from './exchanges.js'
import { ANSWER_HEADERS } from './headers.js'
import { checkNoLostUpgrade, checkOwnTurn, kindOf } from './kind.js'
import { Openings } from './opening.js'
import { handleUpgrades } from './own-handlers.js'
import { Poll } from './poll.js'
import type { Polls } from './polls.js'
import type { Prefix } from './prefix.js'
import { Streams } from './stream.js'
import { checkHandshake, Upgrades } from './upgrade.js'
import { bodyOf, checkBody, type Uplink } from './uplink.js'
import type { UserRateLimiter } from './user-rate-limiter.js'

export interface EndpointOptions {
  readonly settings: Settings
  readonly prefix: Prefix
  readonly route: RealtimeOptions['route']
  readonly admission: Admission
  readonly auth: Authentication
  readonly dispatch: Dispatch
  readonly connections: Peers
  readonly slots: Slots
  readonly polls: Polls
  readonly exchanges: Exchanges
  readonly uplink: Uplink
  readonly rates: UserRateLimiter
  readonly ledger: Ledger
  readonly refusals: Refusals
  readonly failures: FailureLog
  readonly host: PeerHost
  readonly websocket: WebSocketTransport
  readonly upgradeOf: (request: FastifyRequest) => Upgrade | undefined
  readonly settle: (request: FastifyRequest) => void
  readonly log: FastifyBaseLogger
  readonly logSerializers: Record<string, (value: never) => unknown>
}

type Hook = (request: FastifyRequest, reply: FastifyReply) => Promise<void>
/** Property of a request that carries the outcome of its admission to the handler. */
const ADMITTED = Symbol('realtime.admitted')
type AdmittedRequest = FastifyRequest & { [ADMITTED]: Admitted | null }

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

/** URLs of the rooms' routes, below the prefix. */
const PATHS = ['', '/*']

/** Milliseconds beside the expected waits: hooks of the app, the broker, a busy process. */
const SPARE = 30_000

/**
 * Registers the routes of all rooms: one URL for WebSocket, Server-Sent Events, long polls and messages by POST, behind
 * one admission.
 */
export class Endpoint {
  readonly #options: EndpointOptions
  readonly #openings: Openings
  readonly #upgrades: Upgrades
  readonly #streams: Streams
  readonly #poll: Poll

  constructor (options: EndpointOptions) {
    this.#options = options
    const { firstRooms } = options.dispatch
    this.#openings = new Openings({ ...options, firstRooms })
    const shared = { ...options, firstRooms, openings: this.#openings }
    this.#upgrades = new Upgrades(shared)
    this.#streams = new Streams(shared)
    this.#poll = new Poll(shared)
  }

  register (scope: FastifyInstance): void {
    const { settings, route = {}, logSerializers, upgradeOf } = this.#options
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('application/json', {
      parseAs: 'string',
      bodyLimit: settings.limits.message
    }, (_request, body, done) => {
      done(null, bodyOf(body as string))
    })
    // The property exists from the start, because a WeakMap would cost a hash and an entry for each request.
    // Fastify's types know decorators by declared names only; this one is a symbol that nobody else has.
    scope.decorateRequest(ADMITTED as never, null as never)
    const own = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void => {
      this.#admit(request, reply, done)
    }
    const common: Omit<RouteOptions, 'method' | 'url' | 'handler'> = {
      ...(route.constraints === undefined ? {} : { constraints: route.constraints }),
      ...(route.logLevel === undefined ? {} : { logLevel: route.logLevel }),
      config: { ...route.config, realtime: true } as object,
      // Its types require the serializers of every logger that an app may have.
      logSerializers: logSerializers as never,
      onRequest: list<Hook>(route.onRequest),
      preValidation: [...list<Hook>(route.preValidation), own],
      preHandler: list<preHandlerHookHandler>(route.preHandler),
      ...this.#patience(scope),
      errorHandler: (error, request, reply) => { this.#refuse(error, request, reply) },
      exposeHeadRoute: false
    }
    const schema = { ...route.schema } as FastifySchema
    const head: Handler = async (_request, reply) => await reply.headers(ANSWER_HEADERS).send()
    // An upgrade is over in the turn that brought it, so it is no promise.
    const get = (request: FastifyRequest, reply: FastifyReply): unknown => {
      if (!request.ws) return this.#get(request, reply)
      this.#upgrades.open(request, reply, admittedOf(request))
      return undefined
    }
    handleUpgrades(scope, upgradeOf, (path) => PATHS.includes(path))
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
    for (const url of PATHS) {
      scope.route({ ...common, method: 'HEAD', url, schema: { ...schema, hide: true } as FastifySchema, handler: head })
      const [opening, sending] = url === '' ? [ROUTES.open, ROUTES.send] : [ROUTES.openRoom, ROUTES.sendToRoom]
      scope.route({ ...common, method: 'GET', url, ...documented(opening, schema), handler: get })
      scope.route({
        ...common,
        method: 'POST',
        url,
        ...documented(sending, schema),
        bodyLimit: settings.limits.message,
        handler: post
      })
    }
    scope.route({
      ...common,
      preValidation: list<Hook>(route.preValidation),
      method: 'POST',
      url: '/ticket',
      ...documented(ROUTES.ticket, schema),
      handler: ticket
    })
  }

  /** Options that the app's `route` option adds to every route of the plugin. */
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

  /** Whether a request under this id is still being admitted. */
  isUnderWay (id: string): boolean { return this.#openings.isUnderWay(id) }

  /**
   * Extends the time that the app gives its handlers: a poll waits longer on purpose, and answers in a time of its own.
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

  /** Returns the room of the URL as it stood there: a name that was decoded first could be split at `%2F`. */
  #path (request: FastifyRequest): string {
    return this.#options.prefix.below(request.raw.url ?? '')
  }

  #admit (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
    const pass = (admitted: Admitted): void => {
      (request as AdmittedRequest)[ADMITTED] = admitted
      done()
      // This comes after `done()`: no socket closes in the middle of a turn, and most requests are connections by now.
      if (admitted.isReserved && this.#options.connections.get(admitted.connectionId) === undefined) {
        this.#openings.watch(request, admitted.connectionId)
      }
    }
    // Fastify would take a value that is no error for success.
    const fail = (error: unknown): void => {
      done(error instanceof Error ? error : new Error(`${String(error)} was thrown`))
    }
    let admitted: Awaitable<Admitted>
    try {
      const kind = kindOf(request)
      const offered = kind === 'websocket' ? checkHandshake(request) : undefined
      if (kind === 'sse' || kind === 'polling') {
        checkNoLostUpgrade(request)
        checkOwnTurn(request, reply)
      }
      admitted = this.#options.admission.admit(request, kind, this.#path(request), offered)
    } catch (error) {
      fail(error)
      return
    }
    if (admitted instanceof Promise) admitted.then(pass, fail)
    else pass(admitted)
  }

  #refuse (error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const { refusal: said, cause } = requestRefusalOf(error, reply)
    logCause(this.#options.failures, request, said, cause, 'a request to a room failed')
    this.#options.ledger.refused(said.word)
    this.#options.refusals.note(said, { address: request.ip ?? '', request })
    // What the app's own hooks refuse, they refuse in the request for the verdict as well.
    if (request.ws && error instanceof Refusal) this.#options.admission.remember(request, this.#path(request), said)
    // HTTP/2 has no such header.
    if (request.raw.httpVersionMajor === 1) void reply.header('connection', 'close')
    if (said.statusCode === 426) void reply.header('sec-websocket-version', '13')
    sendRefusal(reply, said, ANSWER_HEADERS)
  }

  // Streams and polls

  #get (request: FastifyRequest, reply: FastifyReply): unknown {
    const admitted = admittedOf(request)
    switch (admitted.kind) {
      case 'verdict':
        return sendJson(reply.headers(ANSWER_HEADERS), {
          userId: admitted.identity.userId,
          rooms: admitted.entries.map(({ name }) => name)
        })
      case 'sse': return this.#streams.open(request, reply, admitted)
      default: return this.#poll.answer(request, reply, admitted)
    }
  }

  // HTTP callers

  async #ticket (request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { admission, auth } = this.#options
    admission.checkCaller(request)
    checkBody(request)
    return await sendJson(
      reply.headers(ANSWER_HEADERS),
      await auth.issueTicket(request, (userId) => { this.#options.rates.spend(userId) })
    )
  }
}

/** Takes the outcome of the admission off the request, because the request may be kept longer than it is needed. */
function admittedOf (request: FastifyRequest): Admitted {
  const carrier = request as AdmittedRequest
  const admitted = carrier[ADMITTED]!
  carrier[ADMITTED] = null
  return admitted
}

function list<H> (hooks: unknown): H[] {
  return hooks === undefined ? [] : Array.isArray(hooks) ? hooks as H[] : [hooks as H]
}
