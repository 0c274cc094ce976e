import type {
  FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, RouteShorthandOptions
} from 'fastify'
import type { Adapter } from '../adapters/adapter.js'
import { checkOrigin } from '../admission/origin.js'
import type { Readiness } from '../admission/readiness.js'
import type { Refusals } from '../admission/refusals.js'
import type { Slots } from '../admission/slots.js'
import type { Prefix } from '../endpoint/prefix.js'
import { ANSWER_HEADERS } from '../endpoint/headers.js'
import type { FailureLog } from '../errors/failure-log.js'
import type { LimitWarnings } from '../errors/limit-warnings.js'
import { requestRefusalOf, sendRefusal } from '../errors/http.js'
import { refusalOfCall } from '../errors/misuse-refusal.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import type { Settings } from '../options/resolve.js'
import { parseJson } from '../protocol/json.js'
import type { Declaration } from '../rooms/declaration.js'
import type { Hub } from '../rooms/hub.js'
import type { Ledger } from '../stats/ledger.js'
import { Turns } from '../structures/turns.js'
import type { ApiOptions, ApiScope } from '../types/api-options.js'
import type { Rooms } from '../types/rooms.js'
import { ApiActing, type Action } from './acting.js'
import { Call } from './calls.js'
import { outcomeOf } from './faults.js'
import { ApiKeys, type ApiCounts } from './keys.js'
import { apiRoutes, openApi, type ApiDocument } from './documents.js'
import { ApiPublishing } from './publishing.js'
import { ApiReading } from './reading.js'
import { canCover } from './room-patterns.js'

export interface ServerApiOptions {
  readonly api: ApiOptions
  readonly settings: Settings
  readonly prefix: Prefix
  readonly nodeId: string
  readonly adapter: Adapter
  readonly hub: Hub
  readonly slots: Slots
  readonly readiness: Readiness
  readonly ledger: Ledger
  readonly refusals: Refusals
  readonly failures: FailureLog
  readonly rooms: Pick<Rooms, 'join' | 'leave' | 'revoke' | 'close' | 'clear' | 'connections'>
  readonly limitWarnings: LimitWarnings
}

/** Property of a request that carries its call to the handler. */
const CALL = Symbol('realtime.call')
type CallRequest = FastifyRequest & { [CALL]: Call | null }

/** A route, the scopes of which a key needs one, and what makes its answer, as JSON. */
interface Route {
  readonly name: keyof ReturnType<typeof apiRoutes>
  readonly method: 'GET' | 'POST'
  readonly url: string
  /** Absent for what anybody may ask. */
  readonly may?: readonly ApiScope[]
  readonly act: (request: FastifyRequest) => Promise<string>
  readonly bodyLimit?: number
}

/** The longest wait of a timer in milliseconds, which is none: Fastify takes no 0 for a route. */
const LONGEST = 2_147_483_647
/** Milliseconds after the timeout of handlers in which a request that publishes is held to run. */
const SETTLE = 5_000

/** The server API: routes below `<prefix>/api`, by which other programs publish, read and revoke, each with a key. */
export class ServerApi {
  readonly #options: ServerApiOptions
  readonly #keys: ApiKeys
  readonly #publishing: ApiPublishing
  readonly #reading: ApiReading
  readonly #acting: ApiActing
  #openApiText: string | undefined

  constructor (options: ServerApiOptions) {
    const { api, settings, adapter, nodeId } = options
    const turns = new Turns()
    this.#options = options
    this.#keys = new ApiKeys(api, options.limitWarnings)
    this.#publishing = new ApiPublishing({
      ...options,
      claims: adapter.claims,
      holder: nodeId,
      eventLimit: settings.limits.event,
      lease: settings.timeouts.handler + SETTLE,
      turns,
      onRefused: (call, refusal) => { this.#note(refusal, call.request) },
      onFault: ({ request }, cause) => { request.log.error({ err: cause }, 'a publication of the server API failed') }
    })
    this.#reading = new ApiReading({ ...options, turns })
    this.#acting = new ApiActing(options)
  }

  /** What was counted, by the names of the keys; what came without a valid key stands under the empty name. */
  read (): Record<string, ApiCounts> { return this.#keys.read() }

  /**
   * Checks the rooms of the keys, once all rooms are declared.
   *
   * @throws REALTIME_ERR_OPTIONS for a pattern that is for no room
   */
  start (): void {
    const declarations = [...this.#options.hub.declarations.values()]
    for (const { name, rooms } of this.#keys.callers) {
      for (const { text, pattern } of rooms) {
        if (declarations.some((declaration) => canCover(pattern, declaration.pattern))) continue
        throw new REALTIME_ERR_OPTIONS(
          `options.api.keys: the key "${name}" is for the rooms "${text}", which no declared room can be (declared: ${declared(declarations)}); write "*" where a definition has a param, as in orders/*`
        )
      }
    }
  }

  /**
   * Registers the routes in a scope that has the prefix of the plugin.
   *
   * @param shared options of each route: those of the application's `route` option
   */
  register (parent: FastifyInstance, { schema, ...shared }: { readonly schema: object }): void {
    void parent.register(async (scope) => {
      scope.removeAllContentTypeParsers()
      scope.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => { done(null, body) })
      // Fastify's types know decorators by declared names only; this one is a symbol that nobody else has.
      scope.decorateRequest(CALL as never, null as never)
      const patience = patienceOf(scope)
      const documents = apiRoutes(() => this.#document(), schema as FastifySchema)
      const { config, onRequest, ...common } = {
        ...shared as RouteShorthandOptions,
        errorHandler: (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
          this.#refuse(error, request, reply)
        }
      }
      const route = ({ name, method, url, may, act, bodyLimit }: Route): void => {
        const { config: own, ...document } = documents[name]
        const enter = may === undefined ? [] : [async (request: FastifyRequest) => { this.#enter(request, may) }]
        scope.route({
          ...common,
          ...document,
          ...patience,
          config: { ...config, ...own },
          // A body is not read before it is known that its sender may send it.
          onRequest: [...[onRequest ?? []].flat(), ...enter],
          method,
          url,
          ...(bodyLimit === undefined ? {} : { bodyLimit }),
          handler: async (request, reply) => await sendText(reply, await act(request))
        })
      }
      for (const each of this.#routes()) route(each)
    }, { prefix: '/api' })
  }

  #routes (): Route[] {
    const { message } = this.#options.settings.limits
    const acting = (name: Action, may: ApiScope): Route => ({
      name,
      method: 'POST',
      url: `/${name}`,
      may: [may],
      act: async (request) => json(await this.#acting[name](callOf(request), parsed(request.body))),
      bodyLimit: message
    })
    return [
      {
        name: 'publish',
        method: 'POST',
        url: '/publish',
        may: ['publish'],
        act: async (request) => json(await this.#publish(request)),
        bodyLimit: DEFAULTS.apiBody
      },
      acting('join', 'members'),
      acting('leave', 'members'),
      acting('revoke', 'revoke'),
      acting('close', 'revoke'),
      acting('clear', 'clear'),
      {
        name: 'connections',
        method: 'GET',
        url: '/connections',
        may: ['members'],
        act: async (request) => json(await this.#reading.connections(
          callOf(request),
          request.query as Record<string, unknown>
        ))
      },
      {
        name: 'room',
        method: 'GET',
        url: '/rooms/*',
        may: ['read', 'members'],
        act: async (request) => json(await this.#reading.room(
          callOf(request),
          this.#path(request),
          request.query as Record<string, unknown>
        ))
      },
      {
        name: 'user',
        method: 'GET',
        url: '/users/*',
        may: ['read', 'members'],
        act: async (request) => json(await this.#reading.user(callOf(request), this.#path(request)))
      },
      { name: 'openApi', method: 'GET', url: '/openapi.json', act: async (request) => this.#openApi(request) }
    ]
  }

  /** The document is made once, all but the host that was asked: anybody may request it. */
  #openApi ({ protocol, host }: FastifyRequest): string {
    const document = this.#document()
    this.#openApiText ??= JSON.stringify(openApi(document))
    const servers = JSON.stringify([{ url: `${protocol}://${host}${document.prefix}` }])
    return `${this.#openApiText.slice(0, -1)},"servers":${servers}}`
  }

  #document (): ApiDocument {
    const { hub, prefix } = this.#options
    return { rooms: [...hub.declarations.values()], prefix: `${prefix.url}/api` }
  }

  /** Returns what follows `rooms/` or `users/` as it stood in the URL: a decoded name could be split at `%2F`. */
  #path ({ raw }: FastifyRequest): string { return this.#options.prefix.below(raw.url ?? '', 2) }

  /** @throws Refusal */
  #enter (request: FastifyRequest, may: readonly ApiScope[]): void {
    const { readiness, slots, settings, api } = this.#options
    readiness.check()
    slots.checkAddress(request.ip ?? '')
    // A key is nothing that a browser adds by itself; a page that has one is held to the same origins as all others.
    checkOrigin(request, settings.origins, false, true)
    const caller = this.#keys.find(request.headers.authorization)
    const carrier = request as CallRequest
    // From here on a refusal counts to the key.
    carrier[CALL] = new Call(caller, request, api.authorize, settings.timeouts.authentication)
    caller.begin()
    caller.checkScope(...may)
  }

  async #publish (request: FastifyRequest): Promise<object> {
    const { body, headers: { 'idempotency-key': key } } = request
    return {
      results: await this.#publishing.publish(callOf(request), String(body ?? ''), key === undefined ? key : String(key))
    }
  }

  #refuse (error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const { refusal, cause } = tooLarge(error) ??
      (isOfCall(error) ? refusalOfCall(error) : requestRefusalOf(error, reply))
    const what = 'a request of the server API failed'
    if (cause !== undefined) request.log.error({ err: cause }, what)
    else if (refusal.word === 'unavailable' && refusal.cause !== undefined) {
      this.#options.failures.away(request.log, what, refusal.cause)
    }
    this.#note(refusal, request)
    // HTTP/2 has no such header.
    if (request.raw.httpVersionMajor === 1) void reply.header('connection', 'close')
    sendRefusal(reply, refusal, ANSWER_HEADERS, outcomeOf(refusal))
  }

  #note (refusal: Refusal, request: FastifyRequest): void {
    const { ledger, refusals } = this.#options
    const name = (request as CallRequest)[CALL]?.caller.name
    ledger.refused(refusal.word)
    this.#keys.refused(name ?? '', refusal.word)
    refusals.note(refusal, { address: request.ip ?? '', apiKey: name, request })
  }
}

/**
 * Takes back the time that the app gives its handlers: a request that was cut would be answered as if nothing of it had
 * happened. Each of its steps has a bound of its own.
 */
function patienceOf ({ initialConfig }: FastifyInstance): { handlerTimeout?: number } {
  const { handlerTimeout = 0 } = initialConfig as { handlerTimeout?: number }
  return handlerTimeout === 0 ? {} : { handlerTimeout: LONGEST }
}

function json (value: object): string { return JSON.stringify(value) }

/** Sends JSON that is a text already. */
function sendText (reply: FastifyReply, text: string): FastifyReply {
  return reply.headers(ANSWER_HEADERS).type('application/json; charset=utf-8').send(text)
}

function callOf (request: FastifyRequest): Call { return (request as CallRequest)[CALL]! }

function declared (declarations: readonly Declaration[]): string {
  return declarations.length === 0 ? 'none' : declarations.map(({ pattern }) => `"${pattern.source}"`).join(', ')
}

/** @throws Refusal `invalid_message` */
function parsed (body: unknown): unknown {
  try {
    return parseJson(String(body ?? ''))
  } catch (error) {
    throw new Refusal('invalid_message', { message: `not acceptable JSON: ${(error as Error).message}` })
  }
}

/** Whether it is of a call, and not of Fastify or of a hook of the application. */
function isOfCall (error: unknown): boolean {
  return /^REALTIME_ERR_/.test(String((error as { code?: unknown } | null)?.code))
}

function tooLarge (error: unknown): { readonly refusal: Refusal, readonly cause?: unknown } | undefined {
  if ((error as { code?: unknown } | null)?.code !== 'FST_ERR_CTP_BODY_TOO_LARGE') return undefined
  return {
    refusal: new Refusal('message_too_large', {
      message: 'the request is too large',
      why: { fix: `send at most ${DEFAULTS.apiBody} bytes to publish, limits.message bytes to the other routes` }
    })
  }
}
