/// <reference types="@fastify/jwt" preserve="true" />
/// <reference types="@fastify/websocket" preserve="true" />
import { randomBytes } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { Access } from '../admission/access.js'
import { BroadcastAcks } from '../dispatch/broadcast-acks.js'
import { MemoryAdapter } from '../adapters/memory/adapter.js'
import type { Adapter, AdapterHost } from '../adapters/adapter.js'
import { Unread } from '../adapters/broker/unread.js'
import { isShared } from '../server/addresses.js'
import { Admission } from '../admission/admission.js'
import { AppRooms } from '../app/app-rooms.js'
import { asyncApi } from '../contract/asyncapi.js'
import { Authentication, selectProtocol } from '../auth/authentication.js'
import type { ConnectionHost } from '../connection/connection.js'
import type { Identity } from '../connection/identity.js'
import { Connections } from '../connection/connections.js'
import { Flusher } from '../connection/flusher.js'
import { Heartbeat } from '../connection/heartbeat.js'
import type { AnyAddress, AnyMessages, Definition, EventData, EventName } from '../contract/types.js'
import { ContractWatch } from '../rooms/contract-watch.js'
import { Dispatch } from '../dispatch/dispatch.js'
import { Drain } from '../connection/drain.js'
import { Elsewhere } from '../dispatch/elsewhere.js'
import { Endpoint } from '../endpoint/endpoint.js'
import type { Refusal } from '../errors/refusal.js'
import { REALTIME_ERR_PLUGIN, REALTIME_ERR_ROOM } from '../errors/misuse.js'
import { createAddressOf, rewriteUrlOf } from '../endpoint/fastify-internals.js'
import { Exchanges, followExchanges } from '../endpoint/exchanges.js'
import { Messages } from '../dispatch/messages.js'
import { Inspector } from '../stats/inspector.js'
import { checkRoomOptions, DEFAULTS, resolveOptions } from '../options/resolve.js'
import { checkOwnWebsocket } from './own-websocket.js'
import { ConnectionIds } from '../admission/connection-ids.js'
import { Polls } from '../endpoint/polls.js'
import { createPrefix } from '../endpoint/prefix.js'
import { Readiness } from '../admission/readiness.js'
import { Refusals } from '../admission/refusals.js'
import { RefusedUpgrades } from '../server/refused-upgrades.js'
import { declareReplyBroadcast } from '../app/reply-broadcast.js'
import { declare, type RoomHooks, type RoomLimits } from '../rooms/declaration.js'
import type { Membership } from '../rooms/room.js'
import { Hub } from '../rooms/hub.js'
import { Revocations } from '../auth/revocations.js'
import { Slots } from '../admission/slots.js'
import { createAdmin } from '../stats/admin.js'
import { Ledger } from '../stats/ledger.js'
import { LoopDelayMonitor } from '../stats/loop-delay.js'
import { Metrics } from '../stats/metrics.js'
import { registerHealth, registerStats } from '../stats/routes.js'
import { snapshot, type StatsSnapshot } from '../stats/snapshot.js'
import { WebSocketTransport } from '../transports/websocket.js'
import type { RealtimeOptions, RoomOptions, Rooms } from '../types/options.js'
import { followOpenSockets } from '../server/open-sockets.js'
import { SlotAudit } from '../admission/slot-audit.js'
import { createUpgradeGuard } from '../server/upgrade-guard.js'
import { Uplink } from '../endpoint/uplink.js'
import { refusePlainUpgrades } from '../server/plain-upgrades.js'
import { createUrlCredentials } from '../server/url-credentials.js'
import { openingCost, UserRateLimiter } from '../endpoint/user-rate-limiter.js'
import { createVerifyJwt } from '../auth/jwt.js'
import { VERSION } from '../version.js'

/** The options of `app.room`: they may be left out where the room has no messages to handle and no presence data. */
export type RoomOptionsArgument<P, M extends AnyMessages, E, D, This> = [keyof M] extends [never]
  ? [D] extends [undefined] ? [options?: RoomOptions<P, M, E, D, This>] : [options: RoomOptions<P, M, E, D, This>]
  : [options: RoomOptions<P, M, E, D, This>]

declare module 'fastify' {
  interface FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider> {
    rooms: Rooms
    /**
     * Declares a family of rooms. `this` and the logger come from the calling scope; its prefix and hooks do not apply.
     */
    room<N extends string, P, M extends AnyMessages, E, D> (
      definition: Definition<N, P, M, E, D>,
      ...options: RoomOptionsArgument<
        P, M, E, D, FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
      >
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
  }
  interface FastifyContextConfig {
    /** set on the routes of this plugin, for global hooks that should let them pass */
    realtime?: boolean
  }
  interface FastifyReply {
    /**
     * Held until the reply has gone out with 2xx, dropped otherwise; leaves out the connection named by
     * `x-connection-id`.
     */
    broadcast<R extends string | AnyAddress, K extends EventName<R>> (
      room: R,
      event: K,
      data: EventData<R, K>
    ): FastifyReply
  }
}

/** The smallest ws that this plugin is safe on: 8.23.0 bounds the pongs that a flood of pings makes it keep. */
function checkWs (app: FastifyInstance): void {
  const { options } = app.websocketServer as unknown as { options?: { maxPendingAutoPongs?: number } }
  if (options !== undefined && options.maxPendingAutoPongs === undefined) {
    app.log.warn('@fastify/websocket uses a ws older than 8.23.0, which has known denial-of-service faults; update it')
  }
}

/** What @fastify/jwt would find taken is an exception that nobody can catch: said here, with the way out. */
function checkJwtNames (
  app: FastifyInstance,
  { namespace, decoratorName = 'user' }: { namespace?: string, decoratorName?: string }
): void {
  const instead =
    'give authenticate: (request, token) => user, which may call the app\'s own verification, and no options.jwt'
  if (namespace !== undefined) {
    throw new REALTIME_ERR_PLUGIN(
      `options.jwt.namespace hides the verification from this plugin; remove it, or ${instead}`
    )
  }
  if (app.hasPlugin('@fastify/jwt') || app.hasDecorator('jwt')) {
    throw new REALTIME_ERR_PLUGIN(
      `options.jwt is given, but the app has a namespaced @fastify/jwt, beside which another cannot be registered; ${instead}`
    )
  }
  if (app.hasRequestDecorator(decoratorName)) {
    throw new REALTIME_ERR_PLUGIN(
      `options.jwt is given, but request.${decoratorName} is taken; set options.jwt.decoratorName to another name, or ${instead}`
    )
  }
}

async function registerNeeds (app: FastifyInstance, options: RealtimeOptions): Promise<void> {
  if (app.hasRequestDecorator('jwtVerify')) {
    if (options.jwt !== undefined) {
      throw new REALTIME_ERR_PLUGIN(
        'options.jwt is given, but the app has registered @fastify/jwt itself; remove options.jwt, or the app\'s registration'
      )
    }
  } else if (options.jwt !== undefined) {
    checkJwtNames(app, options.jwt as { namespace?: string, decoratorName?: string })
    const verify = { clockTolerance: DEFAULTS.tolerance, ...(options.jwt as { verify?: object }).verify }
    await app.register(fastifyJwt, { ...options.jwt, verify } as never)
  } else if (options.authenticate === undefined) {
    throw new REALTIME_ERR_PLUGIN(
      'nothing can verify a credential: give jwt: { secret }, register @fastify/jwt (without namespace) before this plugin, or give authenticate: (request, token) => user'
    )
  }
  if (app.hasDecorator('websocketServer')) {
    if (options.websocket !== undefined) {
      throw new REALTIME_ERR_PLUGIN(
        'options.websocket is given, but the app has registered @fastify/websocket itself; remove options.websocket, or the app\'s registration'
      )
    }
    checkOwnWebsocket(app)
  } else await app.register(fastifyWebsocket, options.websocket ?? {})
  checkWs(app)
}

function bind (hooks: object, scope: FastifyInstance): RoomHooks {
  const bound: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(hooks)) {
    if (typeof value === 'function') bound[key] = value.bind(scope)
    else if (key === 'on' && typeof value === 'object' && value !== null) bound.on = bind(value, scope)
    else bound[key] = value
  }
  return bound
}

const plugin: FastifyPluginAsync<RealtimeOptions> = async (app, options) => {
  if (app.hasDecorator('rooms')) {
    throw new REALTIME_ERR_PLUGIN('fastify-realtime is registered twice in this app; register it once, at the root')
  }
  const settings = resolveOptions(options)
  const prefix = await createPrefix(app, settings.prefix)
  await registerNeeds(app, options)

  const nodeId = randomBytes(6).toString('base64url')
  const { log } = app
  const ledger = new Ledger()
  const connections = new Connections<Membership>()
  const flusher = new Flusher()
  const adapter: Adapter = options.adapter ??
    new MemoryAdapter({
      bytes: settings.historyBytes,
      idempotency: DEFAULTS.idempotency,
      remembered: settings.limits.remembered
    })
  const failed = (error: unknown, what: string): void => { log.warn({ err: error, what }, 'the adapter failed') }
  const acks = new BroadcastAcks(nodeId, adapter.control, (error) => { failed(error, 'control') })
  const engine = new Hub(adapter, {
    presence: settings.presence,
    presenceList: DEFAULTS.presenceList,
    eventLimit: settings.limits.event,
    latestBytes: settings.historyBytes,
    validateOutput: settings.validateOutput,
    onError: failed,
    onOffered: (event) => acks.offered(event)
  })
  const slots = new Slots({
    capacity: settings.capacity,
    user: settings.limits.user.connections,
    address: settings.limits.address,
    whenUnavailable: settings.limits.whenUnavailable
  }, adapter.leases, (error) => { failed(error, 'leases') }, (id) => { connections.get(id)?.close('replaced') })
  const messages = new Messages(adapter.claims, {
    timeout: settings.timeouts.handler,
    window: DEFAULTS.idempotency,
    holder: nodeId,
    validateOutput: settings.validateOutput,
    remembered: settings.limits.remembered,
    log
  })
  const refusals = new Refusals(log, options.onRefused)
  const note = (refusal: Refusal, request: FastifyRequest): void => {
    refusals.note(refusal, { address: request.ip ?? '', request })
  }
  const refusedUpgrades = new RefusedUpgrades()
  const guard = createUpgradeGuard(app.server, {
    deadline: settings.timeouts.upgrade,
    pending: settings.limits.pending.total,
    pendingPerAddress: settings.limits.pending.address,
    addressOf: createAddressOf(app),
    isShared,
    onRefused: (code, refusal, address = '') => {
      ledger.refused(code)
      refusedUpgrades.rememberAddress(address, refusal)
      refusals.note(refusal, { address })
    }
  })
  guard.follow(app.websocketServer)
  const sockets = followOpenSockets(app.server)
  const exchanges = new Exchanges(settings.timeouts.write)
  // Stats, health and tickets are plain routes as well.
  const isEndpoint = ({ url }: { readonly url: string }): boolean => url === prefix.route || url === `${prefix.route}/*`
  refusePlainUpgrades(app, guard, (refusal, request) => {
    ledger.refused('protocol')
    note(refusal, request)
  }, isEndpoint)
  const vault = createUrlCredentials(app.server, prefix.url, rewriteUrlOf(app))
  const revocations = new Revocations()
  const auth = new Authentication({
    settings: settings.auth,
    timeout: settings.timeouts.authentication,
    authenticate: options.authenticate,
    verifyJwt: createVerifyJwt(app, options.jwt),
    userId: options.userId,
    claims: adapter.claims,
    denials: adapter.denials,
    revocations,
    remembered: settings.limits.remembered.bytes,
    onForgotten: () => {
      log.warn(
        { bytes: settings.limits.remembered.bytes },
        'a revocation was forgotten by this node before its time; it holds on as long as the adapter can be asked; raise limits.remembered.bytes'
      )
    },
    whenUnavailable: settings.limits.whenUnavailable,
    queryOf: ({ raw }) => vault.of(raw)
  })
  const access = new Access(engine)
  const rates = new UserRateLimiter(settings.limits.rate)
  const dispatch = new Dispatch({
    rooms: engine,
    access,
    revocations,
    connections,
    slots,
    messages,
    acks,
    ledger,
    refusals,
    log,
    roomLimit: settings.limits.rooms,
    burst: settings.limits.rate.burst,
    waiting: Math.max(DEFAULTS.waitingFrames, settings.limits.rate.burst) * settings.limits.message,
    presenceList: DEFAULTS.presenceList,
    answer: Math.min(DEFAULTS.answer, Math.floor(settings.limits.outbox / 4)),
    validateOutput: settings.validateOutput,
    charge: (userId, cost) => { rates.charge(userId, cost) },
    redeem: async (ticket) => await auth.redeem(ticket)
  })
  const drain = new Drain(connections, settings.drain)
  const readiness = new Readiness(drain)
  const observer = new Inspector(connections, engine, ledger)
  const loop = new LoopDelayMonitor()
  const startedAt = performance.now()
  const unread = new Unread(log)
  const adapterFacts = (): Readonly<Record<string, unknown>> => {
    const stats = adapter.stats?.() ?? {}
    return { name: adapter.name, ...stats, undecodable: Number(stats.undecodable ?? 0) + unread.count }
  }
  const read = (): StatsSnapshot => snapshot(ledger, observer, {
    node: nodeId,
    version: VERSION,
    capacity: settings.capacity,
    slots: slots.taken,
    isAccepting: readiness.isAccepting,
    published: engine.published,
    gaps: engine.gaps,
    loop: loop.read(),
    adapter: adapterFacts(),
    uptime: Math.round(performance.now() - startedAt)
  })
  const polls = new Polls({
    joins: dispatch.joins,
    control: adapter.control,
    charge: (userId, cost) => { rates.charge(userId, cost) },
    grace: settings.presence.grace,
    now: () => performance.now(),
    onError: (error) => { failed(error, 'control') }
  })
  const elsewhere = new Elsewhere(adapter.control)
  const rooms = new AppRooms({
    engine,
    connections,
    dispatch,
    revocations,
    acks,
    slots,
    polls,
    elsewhere,
    auth,
    drain,
    adapter,
    unread,
    readiness,
    stats: async () => ({ ...read() }),
    onUnhandled: (error, room, event) => { log.warn({ err: error, room, event }, 'a broadcast failed') }
  })
  const host: ConnectionHost<Membership> = {
    flusher,
    counters: ledger,
    outboxLimit: settings.limits.outbox,
    rate: settings.limits.rate,
    ...dispatch.host
  }
  const heartbeat = new Heartbeat(connections, {
    interval: settings.heartbeat,
    timeout: Math.ceil(settings.heartbeat * 0.4),
    comment: settings.sse.comment,
    tolerance: DEFAULTS.tolerance,
    write: settings.timeouts.write
  })
  const websocket = new WebSocketTransport({
    maxPayload: settings.limits.message,
    closeTimeout: settings.timeouts.close,
    compression: settings.compression,
    flusher,
    selectProtocol
  })
  const connectionIds = new ConnectionIds(adapter, (error) => { failed(error, 'secret') })
  const uplink = new Uplink({
    access,
    dispatch,
    acks,
    elsewhere,
    ids: connectionIds,
    revocations,
    rates,
    ledger,
    find: (id) => connections.get(id)
  })
  // Where nothing is told to other nodes there are none.
  const contracts = adapter.presence === undefined || adapter.control === undefined
    ? undefined
    : new ContractWatch({ presence: adapter.presence, nodeId, log, onError: (error) => { failed(error, 'contracts') } })
  const opening = openingCost(settings.limits)
  const admission = new Admission({
    settings,
    auth,
    slots,
    rooms: engine,
    access,
    connectionIds,
    refusedUpgrades,
    revocations,
    spend: (request, userId, isOpening) => {
      if (isOpening) rates.spend(userId, opening)
      else uplink.spend(request, userId)
    },
    readiness,
    ofUser: (userId) => connections.ofUser(userId),
    takeEnding: (id) => dispatch.takeEnding(id),
    find: (id) => connections.get(id)
  })
  const endpoint = new Endpoint({
    settings,
    prefix,
    route: options.route,
    admission,
    auth,
    dispatch,
    connections,
    slots,
    polls,
    exchanges,
    uplink,
    rates,
    ledger,
    refusals,
    host,
    websocket,
    upgradeOf: ({ raw }: FastifyRequest) => {
      const upgrade = guard.upgradeOf(raw)
      return upgrade === undefined ? undefined : { raw, ...upgrade }
    },
    settle: ({ raw }: FastifyRequest) => { guard.settle(raw) },
    log,
    logSerializers: vault.logSerializers(log) as never
  })

  const audit = new SlotAudit({
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

  app.decorate('rooms', rooms as unknown as Rooms)
  app.decorate('room', function (this: FastifyInstance, definition: unknown, given: object = {}) {
    if (readiness.isServing) {
      throw new REALTIME_ERR_ROOM(
        'app.room was called after the app is ready; declare all rooms before app.ready() or app.listen()'
      )
    }
    const { authorize, onJoin, onLeave, presence, on, ...limits } = given as RoomHooks & RoomLimits
    const name = (definition as { name?: string } | null)?.name ?? '?'
    checkRoomOptions(name, given)
    const hooks = bind(
      Object.fromEntries(Object.entries({
        authorize,
        onJoin,
        onLeave,
        presence,
        on
      }).filter(([, value]) => value !== undefined)),
      this
    )
    engine.declarations.add(declare(
      definition,
      hooks,
      limits,
      { history: settings.history, message: settings.limits.message },
      this.log
    ))
    return this
  } as never)
  declareReplyBroadcast(app, engine, {
    userIdOf: (request) => auth.userIdOf(request),
    readiness
  })

  const describeRooms = (): object => asyncApi(
    [...engine.declarations.values()].map(({ pattern, contract }) => ({ pattern: pattern.source, contract })),
    { title: 'Real-time rooms', version: '1.0.0' },
    prefix.url
  )
  const metrics = options.stats === false ? undefined : new Metrics(read, options.stats?.register)
  // Before anything that can fail: the registry may be the app's, and outlive it.
  app.addHook('onClose', async () => { metrics?.close() })
  await app.register(async (scope) => {
    followExchanges(scope, exchanges, readiness)
    endpoint.register(scope)
    const common = {
      isAccepting: () => readiness.isAccepting,
      asyncApi: describeRooms,
      note,
      route: endpoint.sharedRoute,
      schema: { ...options.route?.schema } as FastifySchema
    }
    if (metrics === undefined || options.stats === false) {
      registerHealth(scope, common)
      return
    }
    const { token, authorize } = options.stats ?? {}
    registerStats(scope, {
      ...common,
      prefix,
      read,
      metrics,
      listings: observer,
      authorize: async (request) => {
        const since = revocations.moment
        let who: Identity | undefined
        const authenticate = async (): Promise<unknown> => {
          who = await admission.identify(request)
          rates.spend(who.userId)
          return who.user
        }
        await createAdmin({ token, authorize, authenticate })(request)
        if (who !== undefined) revocations.check(since, who)
      }
    })
  }, { prefix: settings.prefix })

  app.addHook('onReady', async () => {
    let wasUp: boolean | undefined
    let wasDown = false
    const said = async (step: Promise<void>, what: string): Promise<void> => {
      await step.catch((error: unknown) => {
        failed(error, what)
        throw error
      })
    }
    const adapterHost: AdapterHost = {
      nodeId,
      remembered: settings.limits.remembered,
      log,
      ...engine.host,
      control: (message) => { rooms.control(message).catch((error: unknown) => { failed(error, 'control') }) },
      state: (isUp, hasForgotten = false) => {
        wasDown ||= !isUp
        if (isUp !== wasUp) {
          wasUp = isUp
          // A start without trouble warns of nothing.
          log[wasDown ? 'warn' : 'info'](
            { adapter: adapter.name, isUp },
            isUp ? 'the adapter is connected' : 'the adapter is disconnected'
          )
        }
        if (!isUp) return undefined
        void connectionIds.agree()
        const held = said(slots.restore(), 'leases')
        if (hasForgotten) {
          return Promise.all([
            held,
            said(engine.restore(), 'presence'),
            said(auth.restore(), 'denials')
          ]).then(() => undefined)
        }
        held.catch(() => undefined)
        return undefined
      }
    }
    await adapter.start(adapterHost)
    engine.start()
    slots.start()
    await connectionIds.start()
    contracts?.start(engine.declarations.values())
    heartbeat.start()
    audit.start()
    loop.start()
    readiness.start()
  })
  app.addHook('preClose', async () => {
    const deadline = performance.now() + settings.drain.timeout
    const guarded = guard.close()
    const said = contracts?.stop()
    await drain.run()
    await guarded
    await exchanges.close(deadline)
    await said
    acks.close()
    elsewhere.close()
    sockets.close()
  })
  app.addHook('onClose', async () => {
    readiness.close()
    heartbeat.stop()
    audit.stop()
    loop.stop()
    slots.stop()
    messages.stop()
    connectionIds.stop()
    engine.stop()
    flusher.close()
    websocket.close()
    vault.stop()
    guard.stop()
    exchanges.stop()
    sockets.stop()
    await adapter.close()
  })
}

export default fp(plugin, { fastify: '^5.0.0', name: 'fastify-realtime' })
export type { FastifyReply }
