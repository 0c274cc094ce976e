import { SlotAudit } from '../admission/slot-audit.js'
import { Slots } from '../admission/slots.js'
import { Authentication } from '../auth/authentication.js'
import { Credentials } from '../auth/credentials.js'
import { Denials } from '../auth/denials.js'
import { createVerifyJwt } from '../auth/jwt.js'
import type { Revocations } from '../auth/revocations.js'
import { Tickets } from '../auth/tickets.js'
import type { Connections } from '../connection/connections.js'
import type { Flusher } from '../connection/flusher.js'
import { Heartbeat } from '../connection/heartbeat.js'
import type { BroadcastAcks } from '../dispatch/broadcast-acks.js'
import { Dispatch, type DispatchOptions } from '../dispatch/dispatch.js'
import { Messages } from '../dispatch/messages.js'
import type { Endpoint } from '../endpoint/endpoint.js'
import type { UserRateLimiter } from '../endpoint/user-rate-limiter.js'
import { DEFAULTS } from '../options/defaults.js'
import { selectProtocol } from '../protocol/subprotocol.js'
import { Losses } from '../retention/losses.js'
import { ContractWatch } from '../rooms/contract-watch.js'
import type { Hub, HubOptions } from '../rooms/hub.js'
import { WebSocketTransport } from '../transports/websocket.js'
import type { Foundation } from './foundation.js'
import type { ServerParts } from './server-parts.js'
import type { Membership } from '../rooms/membership.js'

/** Makes the parts of a node from its settings; `node.ts` says which parts, and in which order. */

export function hubOptions (
  { app: { log }, settings, failed, failures, limitWarnings }: Foundation, acks: BroadcastAcks
): HubOptions {
  return {
    presence: settings.presence,
    presenceList: DEFAULTS.presenceList,
    eventLimit: settings.limits.event,
    latestBytes: settings.historyBytes,
    validateOutput: settings.validateOutput,
    isTraceShown: settings.tracing.toClients,
    limitWarnings,
    onError: failed,
    onUnhandled: (error, what, detail) => { failures.warn(log, what, error, detail) },
    onOffered: (event) => acks.offered(event)
  }
}

export function createSlots (
  { settings, adapter, failed, limitWarnings }: Foundation,
  connections: Connections<Membership>
): Slots {
  return new Slots(
    {
      capacity: settings.capacity,
      user: settings.limits.user.connections,
      address: settings.limits.address,
      whenUnavailable: settings.limits.whenUnavailable
    },
    adapter.leases,
    (error) => { failed(error, 'leases') },
    (id) => { connections.get(id)?.close('replaced') },
    (limit, used, most, of) => {
      // Where the oldest connection makes room, a user may have all of them all the time.
      if (limit === 'limits.user.connections' && settings.limits.user.then === 'replace') return
      limitWarnings.look(limit, used, most, of)
    }
  )
}

export function createMessages ({ app: { log }, settings, adapter, nodeId, failures }: Foundation): Messages {
  return new Messages(adapter.claims, {
    timeout: settings.timeouts.handler,
    window: DEFAULTS.idempotency,
    holder: nodeId,
    validateOutput: settings.validateOutput,
    remembered: settings.limits.remembered,
    log,
    failures
  })
}

export function createDenials ({ app: { log }, settings: { limits }, adapter }: Foundation): Denials {
  const { bytes } = limits.remembered
  const losses = new Losses('revocations were forgotten by this node before their time; they hold on as long as the adapter can be asked; raise limits.remembered.bytes')
  return new Denials({
    store: adapter.denials,
    bytes,
    onForgotten: () => { losses.add(log, bytes) },
    whenUnavailable: limits.whenUnavailable
  })
}

export function createCredentials ({ options, settings }: Foundation, server: ServerParts): Credentials {
  return new Credentials({
    settings: settings.auth,
    isAsked: options.authenticate !== undefined,
    queryOf: (request) => server.credentialsOf(request)
  })
}

export function createAuthentication (
  { app, options, settings, adapter }: Foundation,
  parts: { readonly credentials: Credentials, readonly denials: Denials, readonly revocations: Revocations }
): Authentication {
  return new Authentication({
    ...parts,
    settings: settings.auth,
    timeout: settings.timeouts.authentication,
    authenticate: options.authenticate,
    verifyJwt: createVerifyJwt(app, options.jwt),
    userId: options.userId,
    tickets: new Tickets(adapter.claims, settings.auth.ticket)
  })
}

/** The parts that the dispatch is made with, beside what follows from the options. */
export interface DispatchParts
  extends Pick<DispatchOptions, 'access' | 'revocations' | 'connections' | 'slots' | 'messages' | 'acks' | 'untold'> {
  readonly hub: Hub
  readonly auth: Authentication
  readonly rates: UserRateLimiter
}

export function createDispatch (
  { app: { log }, settings: { limits, timeouts, validateOutput }, ledger, refusals, limitWarnings }: Foundation,
  { hub, auth, rates, ...parts }: DispatchParts
): Dispatch {
  return new Dispatch({
    ...parts,
    rooms: hub,
    ledger,
    refusals,
    log,
    limitWarnings,
    roomLimit: limits.rooms,
    message: limits.message,
    burst: limits.rate.burst,
    waiting: Math.max(DEFAULTS.waitingFrames, limits.rate.burst) * limits.message,
    presenceList: DEFAULTS.presenceList,
    answer: Math.min(DEFAULTS.answer, Math.floor(limits.outbox / 4)),
    validateOutput,
    timeout: timeouts.handler,
    charge: (userId, cost) => { rates.charge(userId, cost) },
    redeem: async (ticket) => await auth.redeem(ticket),
    // What does not answer its close is no reason to refuse the connection that follows it.
    onClosing: limits.user.then === 'replace' ? ({ id }) => { void parts.slots.giveWay(id) } : undefined,
    onCut: ({ id, userId, lag, passed }) => {
      const of = { connectionId: id, userId }
      if (passed === undefined) limitWarnings.reached('limits.message', { value: limits.message, ...of })
      else limitWarnings.reached(passed.limit, { value: passed.value, ...of, lag })
    }
  })
}

export function createHeartbeat (
  { settings, limitWarnings }: Foundation,
  connections: Connections<Membership>
): Heartbeat<Membership> {
  return new Heartbeat(connections, {
    interval: settings.heartbeat,
    timeout: Math.ceil(settings.heartbeat * DEFAULTS.pingAnswer),
    comment: settings.sse.comment,
    tolerance: DEFAULTS.tolerance,
    write: settings.timeouts.write,
    onLagging: ({ id, userId, outbox }) => {
      limitWarnings.look('limits.outbox', outbox?.bytes ?? 0, settings.limits.outbox, { connectionId: id, userId })
    }
  })
}

export function createWebSocketTransport ({ settings }: Foundation, flusher: Flusher): WebSocketTransport {
  return new WebSocketTransport({
    maxPayload: settings.limits.message,
    closeTimeout: settings.timeouts.close,
    compression: settings.compression,
    flusher,
    selectProtocol
  })
}

/** Makes the contract watch; `undefined` where there are no other nodes to tell. */
export function createContractWatch (
  { app: { log }, options, adapter: { presence, control }, nodeId, failed }: Foundation
): ContractWatch | undefined {
  if (presence === undefined || control === undefined) return undefined
  const hooks = (['onOnline', 'onOffline'] as const).filter((hook) => options[hook] !== undefined)
  return new ContractWatch({ presence, nodeId, hooks, log, onError: (error) => { failed(error, 'contracts') } })
}

export function createSlotAudit (
  { app: { log }, settings }: Foundation,
  { slots, connections, endpoint }: {
    readonly slots: Slots
    readonly connections: Connections<Membership>
    readonly endpoint: Endpoint
  }
): SlotAudit {
  return new SlotAudit({
    holders: () => slots.holders(),
    connections: () => connections.ids(),
    isHolder: (id) => slots.has(id),
    isConnection: (id) => connections.get(id) !== undefined,
    isUnderWay: (id) => endpoint.isUnderWay(id),
    patience: Math.max(30_000, 2 * settings.timeouts.close),
    release: (id) => { slots.release(id) },
    end: (id) => { connections.get(id)?.finish('gone') },
    warn: (found) => {
      log.warn(
        found,
        'slots and connections differed and were made the same again: a fault of fastify-realtime, please report it'
      )
    }
  })
}
