import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import { Refusal, refusalOf } from '../errors/refusal.js'
import { logCause, NO_STORE, sendJson, sendRefusal } from '../errors/http.js'
import { DASHBOARD, DASHBOARD_HEADERS } from './dashboard/dashboard.js'
import type { Metrics } from './metrics.js'
import { negotiate } from './negotiate.js'
import { page } from './paging.js'
import type { StatsSnapshot } from './snapshot.js'

/** What the listings show. */
export interface Listings {
  readonly activeRooms: number
  /** without the first `skipped` */
  rooms (skipped: number): Iterable<object>
  /** by its name as it stands in URLs; `undefined` when nobody is in the room here */
  room (name: string): object | undefined
  readonly connections: { readonly total: number }
  all (skipped: number): Iterable<object>
}

export interface StatsRoutesOptions {
  readonly read: () => StatsSnapshot
  readonly metrics: Metrics
  readonly listings: Listings
  /** tells what of a URL is below the prefix, undecoded */
  readonly prefix: { below (url: string, more: number): string }
  /** @throws Refusal for everybody who is no admin */
  readonly authorize: (request: FastifyRequest) => Promise<void>
  readonly isAccepting: () => boolean
  readonly asyncApi: () => object
  /** somebody is refused */
  readonly note: Note
  /** of the app's `route` option: merged into each route */
  readonly route: object
  readonly schema: FastifySchema
}

type Note = (refusal: Refusal, request: FastifyRequest) => void

/** Adds to what the app's hooks have set, CORS above all. */
function personal (reply: FastifyReply, vary: string): void {
  const own = reply.getHeader('vary')
  void reply.headers({ ...NO_STORE, vary: own === undefined ? vary : `${String(own)}, ${vary}` })
}

/** The admin's routes, for a scope that has the prefix, and the two that everybody may ask. */
export function registerStats (scope: FastifyInstance, options: StatsRoutesOptions): void {
  const { read, metrics, listings, authorize, isAccepting, route, schema } = options
  const common = shared(route, schema, options.note)
  const admit = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    personal(reply, 'Authorization')
    await authorize(request)
  }

  scope.get('/stats', common, async (request, reply) => {
    const format = negotiate(request.headers.accept, (request.query as { format?: unknown }).format)
    personal(reply, 'Accept, Authorization')
    if (format === 'html') {
      return await reply.headers(DASHBOARD_HEADERS).type('text/html; charset=utf-8').send(DASHBOARD)
    }
    await authorize(request)
    if (format === 'json') return await sendJson(reply, read())
    return await reply.type(metrics.contentType).send(await metrics.text())
  })

  scope.get('/stats/rooms', common, async (request, reply) => {
    await admit(request, reply)
    return await sendJson(reply, page((skipped) => listings.rooms(skipped), listings.activeRooms, request.query))
  })

  scope.get('/stats/rooms/*', common, async (request, reply) => {
    await admit(request, reply)
    // As it stood in the URL: decoded, a name with an escaped "/" would be another one.
    const room = listings.room(options.prefix.below(request.raw.url ?? '', 2))
    if (room === undefined) throw new Refusal('room_unknown', { message: 'nobody is in this room on this node' })
    return await sendJson(reply, room)
  })

  scope.get('/stats/connections', common, async (request, reply) => {
    await admit(request, reply)
    return await sendJson(reply, page((skipped) => listings.all(skipped), listings.connections.total, request.query))
  })

  registerPublic(scope, common, isAccepting, options.asyncApi)
}

/** What needs no admin: readiness, and the document of all rooms. */
function registerPublic (
  scope: FastifyInstance,
  common: object,
  isAccepting: () => boolean,
  asyncApi: () => object
): void {
  scope.get('/health', common, async (_request, reply) => {
    const accepting = isAccepting()
    return await sendJson(reply.code(accepting ? 200 : 503).headers(NO_STORE), {
      status: accepting ? 'ok' : 'unavailable',
      accepting
    })
  })
  // Anybody may ask for it: it is made once, and so is its text.
  let document: string | undefined
  scope.get(
    '/asyncapi.json',
    common,
    async (_request, reply) => await reply.type('application/json; charset=utf-8').send(
      document ??= JSON.stringify(asyncApi())
    )
  )
}

/**
 * A HEAD must not fall through to the rooms' routes where the app has `exposeHeadRoutes` off: load balancers send it.
 */
function shared (route: object, schema: FastifySchema, note: Note): object {
  const errorHandler = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const { refusal, cause } = refusalOf(error)
    logCause(request, refusal, cause, 'a stats request failed')
    note(refusal, request)
    sendRefusal(reply, refusal, NO_STORE)
  }
  return { ...route, schema, errorHandler, exposeHeadRoute: true }
}

/** With `stats: false` only the public routes are there. */
export function registerHealth (
  scope: FastifyInstance,
  options: Pick<StatsRoutesOptions, 'isAccepting' | 'asyncApi' | 'note' | 'route' | 'schema'>
): void {
  registerPublic(scope, shared(options.route, options.schema, options.note), options.isAccepting, options.asyncApi)
}
