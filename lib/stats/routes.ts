import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import { NO_STORE, sendJson } from '../errors/http.js'
import { Refusal } from '../errors/refusal.js'
import { documented, ROUTES } from '../options/route-schemas.js'
import { DASHBOARD, DASHBOARD_HEADERS } from './dashboard/dashboard.js'
import type { Metrics } from './metrics.js'
import { negotiate } from './negotiate.js'
import { page } from './paging.js'
import type { StatsSnapshot } from './snapshot.js'

/** What the listings show. */
export interface Listings {
  readonly activeRooms: number
  /** Lists the rooms without the first `skipped` ones. */
  rooms (skipped: number): Iterable<object>
  /** Finds a room by its name as it stands in URLs; `undefined` when it has no members on this node. */
  room (name: string): object | undefined
  readonly connections: { readonly total: number }
  all (skipped: number): Iterable<object>
}

export interface StatsRoutesOptions {
  readonly read: () => StatsSnapshot
  readonly metrics: Metrics
  readonly listings: Listings
  /** Returns the part of a URL below the prefix, undecoded. */
  readonly prefix: { below (url: string, more: number): string }
  /** @throws Refusal for every user who is no admin */
  readonly authorize: (request: FastifyRequest) => Promise<void>
  /** Options of each route: those of the application's `route` option, and the error handler. */
  readonly shared: { readonly schema: FastifySchema } & Readonly<Record<string, unknown>>
}

/** Keeps the answer out of caches. It adds to the `Vary` of the application's hooks, above all that of CORS. */
function personal (reply: FastifyReply, vary: string): void {
  const own = reply.getHeader('vary')
  void reply.headers({ ...NO_STORE, vary: own === undefined ? vary : `${String(own)}, ${vary}` })
}

/** Registers the routes for admins in a scope that has the prefix. */
export function registerStats (scope: FastifyInstance, options: StatsRoutesOptions): void {
  const { read, metrics, listings, authorize, shared } = options
  const admit = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    personal(reply, 'Authorization')
    await authorize(request)
  }

  scope.get('/stats', { ...shared, ...documented(ROUTES.stats, shared.schema) }, async (request, reply) => {
    const format = negotiate(request.headers.accept, (request.query as { format?: unknown }).format)
    personal(reply, 'Accept, Authorization')
    if (format === 'html') {
      return await reply.headers(DASHBOARD_HEADERS).type('text/html; charset=utf-8').send(DASHBOARD)
    }
    await authorize(request)
    if (format === 'json') return await sendJson(reply, read())
    return await reply.type(metrics.contentType).send(await metrics.text())
  })

  scope.get('/stats/rooms', { ...shared, ...documented(ROUTES.statsList, shared.schema) }, async (request, reply) => {
    await admit(request, reply)
    return await sendJson(reply, page((skipped) => listings.rooms(skipped), listings.activeRooms, request.query))
  })

  scope.get('/stats/rooms/*', { ...shared, ...documented(ROUTES.statsRoom, shared.schema) }, async (request, reply) => {
    await admit(request, reply)
    // The name is taken as it stood in the URL: once decoded, a name with an escaped "/" would be another name.
    const room = listings.room(options.prefix.below(request.raw.url ?? '', 2))
    if (room === undefined) throw new Refusal('room_unknown', { message: 'nobody is in this room on this node' })
    return await sendJson(reply, room)
  })

  scope.get('/stats/connections', { ...shared, ...documented(ROUTES.statsList, shared.schema) }, async (request, reply) => {
    await admit(request, reply)
    return await sendJson(reply, page((skipped) => listings.all(skipped), listings.connections.total, request.query))
  })
}
