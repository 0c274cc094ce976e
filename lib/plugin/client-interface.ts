import { Admission } from '../admission/admission.js'
import { Flusher } from '../connection/flusher.js'
import { Endpoint } from '../endpoint/endpoint.js'
import { Uplink } from '../endpoint/uplink.js'
import { openingCost } from '../endpoint/user-rate-limiter.js'
import type { WebSocketTransport } from '../transports/websocket.js'
import type { Core } from './core.js'
import type { Foundation } from './foundation.js'
import { createWebSocketTransport } from './parts.js'
import type { ServerParts } from './server-parts.js'

/** What clients reach: the routes, the admission in front of them, and the transports behind. */
export interface ClientInterface {
  readonly admission: Admission
  readonly endpoint: Endpoint
  readonly websocket: WebSocketTransport
  readonly flusher: Flusher
}

export function createClientInterface (foundation: Foundation, core: Core, server: ServerParts): ClientInterface {
  const { app: { log }, options, settings, prefix, ledger, refusals } = foundation
  const { connections, dispatch, rates, exchanges } = core
  const uplink = new Uplink({
    ...core,
    ids: core.connectionIds,
    ledger,
    find: (id) => connections.get(id),
    whenOver: (request, callback) => { exchanges.whenOver(request, callback) }
  })
  const opening = openingCost(settings.limits)
  const admission = new Admission({
    ...core,
    settings,
    rooms: core.hub,
    refusedUpgrades: server.refusedUpgrades,
    spend: (request, userId, isOpening) => {
      if (isOpening) rates.spend(userId, opening)
      else uplink.spend(request, userId)
    },
    ofUser: (userId) => connections.ofUser(userId),
    find: (id) => connections.get(id)
  })
  const flusher = new Flusher()
  const websocket = createWebSocketTransport(foundation, flusher)
  const endpoint = new Endpoint({
    ...core,
    settings,
    prefix,
    route: options.route,
    admission,
    uplink,
    ledger,
    refusals,
    failures: foundation.failures,
    host: {
      flusher,
      counters: ledger,
      outboxLimit: settings.limits.outbox,
      rate: settings.limits.rate,
      ...dispatch.host
    },
    websocket,
    upgradeOf: (request) => server.upgradeOf(request),
    settle: (request) => { server.settle(request) },
    log,
    logSerializers: server.logSerializers(log)
  })
  return { admission, endpoint, websocket, flusher }
}
