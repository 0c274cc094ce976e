import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import type { Identity } from '../connection/identity.js'
import { asyncApi, asyncApiServers } from '../protocol/asyncapi.js'
import { registerClientScript } from '../endpoint/client-script/route.js'
import { followExchanges } from '../endpoint/exchanges.js'
import { registerPublic, sharedOptions } from '../endpoint/public-routes.js'
import { refuseReadBodies } from '../endpoint/read-bodies.js'
import { ofUser } from '../errors/refusal.js'
import { createAdmin, type AdminCaller } from '../stats/admin.js'
import { Lists } from '../stats/lists.js'
import { Metrics } from '../stats/metrics.js'
import { Overview } from '../stats/overview.js'
import { registerStats } from '../stats/routes.js'
import type { RealtimeNode } from './node.js'

/** Registers all routes below the prefix in one scope: those of the rooms, the public ones, and the admin's. */
export async function registerRoutes (app: FastifyInstance, node: RealtimeNode): Promise<void> {
  const { options, settings, prefix, ledger, refusals, failures } = node.foundation
  const { hub, readiness, exchanges } = node.core
  const { endpoint } = node.clients
  const metrics = options.stats === false
    ? undefined
    : new Metrics(() => node.read(), options.stats?.register, node.counted)
  // This hook comes before any code that can fail, because the registry may be the app's and outlive it.
  app.addHook('onClose', async () => { metrics?.close() })
  await app.register(async (scope) => {
    followExchanges(scope, exchanges, readiness)
    refuseReadBodies(scope)
    endpoint.register(scope)
    const schema = { ...options.route?.schema } as FastifySchema
    const shared = sharedOptions(endpoint.sharedRoute, schema, ledger, refusals, failures)
    node.api?.register(scope, shared)
    if (metrics !== undefined) {
      registerStats(scope, {
        read: () => node.read(),
        metrics,
        listings: node.inspector,
        overview: createOverview(node, options.stats !== false && options.stats?.actions === true),
        rooms: node.rooms,
        prefix,
        authorize: createAuthorize(node),
        shared
      })
    }
    if (options.client !== false) registerClientScript(scope, shared)
    registerPublic(scope, {
      readiness,
      health: () => node.health(),
      asyncApi: () => asyncApi(
        [...hub.declarations.values()].map(({ pattern, contract }) => ({ pattern: pattern.source, contract })),
        { title: 'Real-time rooms', version: '1.0.0' },
        prefix.url
      ),
      servers: asyncApiServers,
      shared
    })
  }, { prefix: settings.prefix })
}

function createOverview (node: RealtimeNode, isActing: boolean): Overview {
  const { foundation: { nodeId, failed }, core: { cluster, connections, hub }, rooms } = node
  const drain = (): void => { rooms.drain().catch((error: unknown) => { failed(error, 'drain') }) }
  return new Overview({
    cluster,
    lists: new Lists(nodeId, connections, hub),
    hub,
    read: () => node.read(),
    drain: isActing ? drain : undefined
  })
}

/**
 * Admits admins only. The rate of a caller that has to be verified is charged, and its access may have been revoked
 * meanwhile.
 */
function createAuthorize (
  {
    foundation: { options, settings: { timeouts: { authentication: timeout } } },
    core: { rates, revocations },
    clients: { admission }
  }: RealtimeNode
): (request: FastifyRequest) => Promise<AdminCaller> {
  const { token, authorize } = options.stats === false ? {} : options.stats ?? {}
  return async (request) => {
    const since = revocations.moment
    let who: Identity | undefined
    const authenticate = async (): Promise<unknown> => {
      who = await admission.identify(request)
      rates.spend(who.userId)
      return who.user
    }
    try {
      const caller = await createAdmin({ token, authorize, timeout, authenticate })(request)
      if (who !== undefined) revocations.check(since, who)
      return { ...caller, userId: who?.userId }
    } catch (error) {
      throw who === undefined ? error : ofUser(error, who.userId)
    }
  }
}
