import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import { NO_STORE, sendJson } from '../errors/http.js'
import { Refusal } from '../errors/refusal.js'
import { documented, ROUTES } from '../options/route-schemas.js'
import type { Rooms } from '../types/rooms.js'
import type { AdminCaller } from './admin.js'
import { registerAssets, sendPage } from './dashboard/routes.js'
import { asksForOrder, CONNECTION_SORTS, listQuery, ROOM_SORTS } from './list-query.js'
import type { Metrics } from './metrics.js'
import { negotiate } from './negotiate.js'
import type { Overview } from './overview.js'
import { registerOverview } from './overview-routes.js'
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
  readonly overview: Overview
  readonly rooms: Pick<Rooms, 'revoke'>
  /** Returns the part of a URL below the prefix, undecoded. */
  readonly prefix: { below (url: string, more: number): string }
  /** @throws Refusal for every user who is no admin */
  readonly authorize: (request: FastifyRequest) => Promise<AdminCaller>
  /** Options of each route: those of the application's `route` option, and the error handler. */
  readonly shared: { readonly schema: FastifySchema } & Readonly<Record<string, unknown>>
}

/** Keeps the answer out of caches. It adds to the `Vary` of the application's hooks, above all that of CORS. */
function personal (reply: FastifyReply, vary: string): void {
  const own = reply.getHeader('vary')
  void reply.headers({ ...NO_STORE, vary: own === undefined ? vary : `${String(own)}, ${vary}` })
}

function nodeOf (query: unknown): string | undefined {
  const { node } = query as { node?: unknown }
  return typeof node === 'string' && node !== '' ? node : undefined
}

/** Registers the routes for admins in a scope that has the prefix. */
export function registerStats (scope: FastifyInstance, options: StatsRoutesOptions): void {
  const { read, metrics, listings, overview, rooms, authorize, shared } = options
  const admit = async (request: FastifyRequest, reply: FastifyReply): Promise<AdminCaller> => {
    personal(reply, 'Authorization')
    return await authorize(request)
  }
  registerAssets(scope, shared)
  registerOverview(scope, { overview, rooms, admit, shared })

  scope.get('/stats', { ...shared, ...documented(ROUTES.stats, shared.schema) }, async (request, reply) => {
    const format = negotiate(request.headers.accept, (request.query as { format?: unknown }).format)
    personal(reply, 'Accept, Authorization')
    if (format === 'html') return await sendPage(request, reply)
    await authorize(request)
    if (format === 'json') return await sendJson(reply, read())
    const { contentType, text } = await metrics.scrape()
    return await reply.type(contentType).send(text)
  })

  scope.get('/stats/rooms', { ...shared, ...documented(ROUTES.statsRooms, shared.schema) }, async (request, reply) => {
    await admit(request, reply)
    if (asksForOrder(request.query)) {
      return await sendJson(reply, await overview.rooms(listQuery(request.query, ROOM_SORTS, 'name'), nodeOf(request.query)))
    }
    return await sendJson(reply, page((skipped) => listings.rooms(skipped), listings.activeRooms, request.query))
  })

  scope.get('/stats/rooms/*', { ...shared, ...documented(ROUTES.statsRoom, shared.schema) }, async (request, reply) => {
    await admit(request, reply)
    // The name is taken as it stood in the URL: once decoded, a name with an escaped "/" would be another name.
    const room = listings.room(options.prefix.below(request.raw.url ?? '', 2))
    if (room === undefined) {
      throw new Refusal('room_unknown', {
        message: 'nobody is in this room on this node',
        why: { fix: 'nobody is in it now; /ws/stats/room?name= asks all nodes' }
      })
    }
    return await sendJson(reply, room)
  })

  scope.get('/stats/connections', {
    ...shared,
    ...documented(ROUTES.statsConnections, shared.schema)
  }, async (request, reply) => {
    await admit(request, reply)
    if (asksForOrder(request.query)) {
      const query = listQuery(request.query, CONNECTION_SORTS, 'user')
      return await sendJson(reply, await overview.connections(query, nodeOf(request.query)))
    }
    return await sendJson(reply, page((skipped) => listings.all(skipped), listings.connections.total, request.query))
  })
}
