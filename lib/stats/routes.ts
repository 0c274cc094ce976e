import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { NO_STORE, sendJson } from '../errors/http.js'
import { Refusal } from '../errors/refusal.js'
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
  /** what each route has: of the app's `route` option, and who answers for its errors */
  readonly shared: object
}

/** Adds to what the app's hooks have set, CORS above all. */
function personal (reply: FastifyReply, vary: string): void {
  const own = reply.getHeader('vary')
  void reply.headers({ ...NO_STORE, vary: own === undefined ? vary : `${String(own)}, ${vary}` })
}

/** The admin's routes, for a scope that has the prefix. */
export function registerStats (scope: FastifyInstance, options: StatsRoutesOptions): void {
  const { read, metrics, listings, authorize, shared } = options
  const admit = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    personal(reply, 'Authorization')
    await authorize(request)
  }

  scope.get('/stats', shared, async (request, reply) => {
    const format = negotiate(request.headers.accept, (request.query as { format?: unknown }).format)
    personal(reply, 'Accept, Authorization')
    if (format === 'html') {
      return await reply.headers(DASHBOARD_HEADERS).type('text/html; charset=utf-8').send(DASHBOARD)
    }
    await authorize(request)
    if (format === 'json') return await sendJson(reply, read())
    return await reply.type(metrics.contentType).send(await metrics.text())
  })

  scope.get('/stats/rooms', shared, async (request, reply) => {
    await admit(request, reply)
    return await sendJson(reply, page((skipped) => listings.rooms(skipped), listings.activeRooms, request.query))
  })

  scope.get('/stats/rooms/*', shared, async (request, reply) => {
    await admit(request, reply)
    // As it stood in the URL: decoded, a name with an escaped "/" would be another one.
    const room = listings.room(options.prefix.below(request.raw.url ?? '', 2))
    if (room === undefined) throw new Refusal('room_unknown', { message: 'nobody is in this room on this node' })
    return await sendJson(reply, room)
  })

  scope.get('/stats/connections', shared, async (request, reply) => {
    await admit(request, reply)
    return await sendJson(reply, page((skipped) => listings.all(skipped), listings.connections.total, request.query))
  })
}
