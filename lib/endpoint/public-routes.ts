import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type { Health } from '../stats/health.js'
import { documented, ROUTES } from '../options/route-schemas.js'
import type { Readiness } from '../admission/readiness.js'
import type { FailureLog } from '../errors/failure-log.js'
import type { Refusals } from '../admission/refusals.js'
import { logCause, NO_STORE, requestRefusalOf, sendJson, sendRefusal } from '../errors/http.js'
import type { Ledger } from '../stats/ledger.js'

/** Options of routes that are of one app: its own schema of them, and all that they have in common. */
export type SharedOptions = { readonly schema: FastifySchema } & Readonly<Record<string, unknown>>

/**
 * Options of each route besides those of the rooms.
 *
 * @param route of the app's `route` option, merged into each of them
 */
export function sharedOptions (
  route: object,
  schema: FastifySchema,
  ledger: Ledger,
  refusals: Refusals,
  failures: FailureLog
): SharedOptions {
  const errorHandler = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const { refusal, cause } = requestRefusalOf(error, reply)
    logCause(failures, request, refusal, cause, 'a stats request failed')
    ledger.refused(refusal.word)
    refusals.noteRequest(refusal, request)
    sendRefusal(reply, refusal, NO_STORE)
  }
  // A HEAD must not fall through to the rooms' routes where the app has `exposeHeadRoutes` off, because load balancers
  // send it.
  return { ...route, schema, errorHandler, exposeHeadRoute: true }
}

export interface PublicRoutesOptions {
  readonly readiness: Readiness
  /** Looks deeper than whether the node accepts. */
  readonly health: () => Health
  /** Makes the document of all rooms, without its servers. */
  readonly asyncApi: () => object
  /** The servers of the document, as the host of a request names them. */
  readonly servers: (host: string, isSecure: boolean) => object
  readonly shared: SharedOptions
}

/** Registers the public routes in a scope that has the prefix: whether the node accepts, and the document. */
export function registerPublic (
  scope: FastifyInstance,
  { readiness, health, asyncApi, servers, shared }: PublicRoutesOptions
): void {
  scope.get('/health', { ...shared, ...documented(ROUTES.health, shared.schema) }, async ({ query }, reply) => {
    if ((query as { deep?: unknown }).deep === '1') {
      const found = health()
      return await sendJson(reply.code(found.status === 'ok' ? 200 : 503).headers(NO_STORE), found)
    }
    const accepting = readiness.isAccepting
    return await sendJson(reply.code(accepting ? 200 : 503).headers(NO_STORE), {
      status: accepting ? 'ok' : 'unavailable',
      accepting
    })
  })
  // Any client may request the document, so it and its text are made once, all but the host that was asked.
  let document: string | undefined
  scope.get('/asyncapi.json', { ...shared, ...documented(ROUTES.asyncApi, shared.schema) }, async (request, reply) => {
    document ??= JSON.stringify(asyncApi())
    const here = JSON.stringify(servers(request.host, request.protocol === 'https'))
    const whole = `${document.slice(0, -1)},"servers":${here}}`
    return await reply.headers(NO_STORE).type('application/json; charset=utf-8').send(whole)
  })
}
