import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import { sendJson } from '../errors/http.js'
import { refusalOfCall } from '../errors/misuse-refusal.js'
import { Refusal } from '../errors/refusal.js'
import { documented, ROUTES } from '../options/route-schemas.js'
import type { Rooms } from '../types/rooms.js'
import { act, actionOf } from './actions.js'
import type { AdminCaller } from './admin.js'
import type { Overview } from './overview.js'

export interface OverviewRoutesOptions {
  readonly overview: Overview
  readonly rooms: Pick<Rooms, 'revoke'>
  /** Lets admins in, and keeps the answer out of caches. */
  readonly admit: (request: FastifyRequest, reply: FastifyReply) => Promise<AdminCaller>
  readonly shared: { readonly schema: FastifySchema } & Readonly<Record<string, unknown>>
}

/** Events of a room that are given where the request does not say how many. */
const EVENTS = 20

/** Registers the routes for admins that show all nodes, and those by which they act. */
export function registerOverview (
  scope: FastifyInstance,
  { overview, rooms, admit, shared }: OverviewRoutesOptions
): void {
  scope.get('/stats/nodes', { ...shared, ...documented(ROUTES.statsNodes, shared.schema) }, async (request, reply) => {
    const { isScraper } = await admit(request, reply)
    const viewer = { mayAct: overview.isActing && !isScraper, maySeeData: !isScraper }
    return await sendJson(reply, { ...await overview.nodes(), viewer })
  })

  scope.get('/stats/room', { ...shared, ...documented(ROUTES.statsDetail, shared.schema) }, async (request, reply) => {
    const { isScraper } = await admit(request, reply)
    const { name, events = String(EVENTS), data } = request.query as Readonly<Record<string, unknown>>
    if (typeof name !== 'string') throw new Refusal('invalid_message', { message: 'name must be the name of a room' })
    if (typeof events !== 'string' || !/^\d{1,9}$/.test(events)) {
      throw new Refusal('invalid_message', { message: 'events must be a whole number' })
    }
    if (data === 'true' && isScraper) {
      throw new Refusal('forbidden', { message: 'the data of events is for admins, not for the scrape token' })
    }
    return await sendJson(reply, await overview.room(name, Number(events), data === 'true'))
  })

  scope.get('/stats/connections/:key', {
    ...shared,
    ...documented(ROUTES.statsConnection, shared.schema)
  }, async (request, reply) => {
    await admit(request, reply)
    return await sendJson(reply, await overview.connection((request.params as { key: string }).key))
  })

  if (!overview.isActing) return
  scope.post('/stats/actions', { ...shared, ...documented(ROUTES.statsActions, shared.schema) }, async (request, reply) => {
    const { isScraper, userId } = await admit(request, reply)
    if (isScraper) throw new Refusal('forbidden', { message: 'the scrape token may look, and not act' })
    const action = actionOf((request.body as { readonly json?: unknown } | undefined)?.json)
    try {
      await act(action, overview, rooms)
    } catch (error) {
      const { refusal, cause } = refusalOfCall(error)
      throw cause ?? refusal
    }
    request.log.info({ ...action, by: userId }, 'an admin acted from the dashboard')
    return await sendJson(reply, { done: true })
  })
}
