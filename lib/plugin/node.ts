import { Access } from '../admission/access.js'
import { Admission } from '../admission/admission.js'
import { ConnectionIds } from '../admission/connection-ids.js'
import { Readiness } from '../admission/readiness.js'
import type { SlotAudit } from '../admission/slot-audit.js'
import type { Slots } from '../admission/slots.js'
import type { AdapterHost } from '../adapters/adapter.js'
import { Unread } from '../adapters/broker/unread.js'
import { AppRooms } from '../app/app-rooms.js'
import { RemoteControl } from '../app/control.js'
import type { Authentication } from '../auth/authentication.js'
import { Revocations } from '../auth/revocations.js'
import { Connections } from '../connection/connections.js'
import { Drain } from '../connection/drain.js'
import { Flusher } from '../connection/flusher.js'
import type { Heartbeat } from '../connection/heartbeat.js'
import { BroadcastAcks } from '../dispatch/broadcast-acks.js'
import type { Departures } from '../dispatch/departures.js'
import { Elsewhere } from '../dispatch/elsewhere.js'
import type { Messages } from '../dispatch/messages.js'
import { Endpoint } from '../endpoint/endpoint.js'
import { Exchanges } from '../endpoint/exchanges.js'
import { Polls } from '../endpoint/polls.js'
import { Uplink } from '../endpoint/uplink.js'
import { openingCost, UserRateLimiter } from '../endpoint/user-rate-limiter.js'
import { Refusal } from '../errors/refusal.js'
import type { ContractWatch } from '../rooms/contract-watch.js'
import { Hub } from '../rooms/hub.js'
import { Inspector } from '../stats/inspector.js'
import { LoopDelayMonitor } from '../stats/loop-delay.js'
import { snapshot, type StatsSnapshot } from '../stats/snapshot.js'
import type { WebSocketTransport } from '../transports/websocket.js'
import { VERSION } from '../version.js'
import { createAdapterHost } from './adapter-host.js'
import type { Foundation } from './foundation.js'
import {
  createAuthentication, createContractWatch, createCredentials, createDenials, createDispatch, createHeartbeat,
  createMessages, createSlotAudit, createSlots, createWebSocketTransport, hubOptions
} from './parts.js'
import { ServerParts } from './server-parts.js'
import type { Membership } from '../rooms/membership.js'

/** All parts of one node, made in an order in which each gets the parts that it calls. */
export class RealtimeNode {
  readonly foundation: Foundation
  readonly readiness: Readiness
  readonly hub: Hub
  readonly rooms: AppRooms
  readonly auth: Authentication
  readonly admission: Admission
  readonly revocations = new Revocations()
  readonly rates: UserRateLimiter
  readonly endpoint: Endpoint
  readonly exchanges: Exchanges
  readonly inspector: Inspector
  readonly #server: ServerParts
  readonly #adapterHost: AdapterHost
  readonly #unread: Unread
  readonly #connectionIds: ConnectionIds
  readonly #slots: Slots
  readonly #messages: Messages
  readonly #acks: BroadcastAcks
  readonly #departures: Departures
  readonly #elsewhere: Elsewhere
  readonly #contracts: ContractWatch | undefined
  readonly #drain: Drain
  readonly #flusher = new Flusher()
  readonly #websocket: WebSocketTransport
  readonly #heartbeat: Heartbeat<Membership>
  readonly #audit: SlotAudit
  readonly #loop = new LoopDelayMonitor()
  readonly #startedAt = performance.now()

  constructor (foundation: Foundation) {
    const { app: { log }, options, settings, prefix, adapter, nodeId, ledger, refusals, failed } = foundation
    const { revocations } = this
    const flusher = this.#flusher
    const controlFailed = (error: unknown): void => { failed(error, 'control') }
    this.foundation = foundation
    const server = this.#server = new ServerParts(foundation)
    const exchanges = this.exchanges = new Exchanges(settings.timeouts.write)

    // Connections and rooms, and the admission to them.
    const connections = new Connections<Membership>()
    const drain = this.#drain = new Drain(connections, settings.drain)
    const readiness = this.readiness = new Readiness(drain)
    const acks = this.#acks = new BroadcastAcks(nodeId, adapter.control, controlFailed)
    const hub = this.hub = new Hub(adapter, hubOptions(foundation, acks))
    const slots = this.#slots = createSlots(foundation, connections)
    const messages = this.#messages = createMessages(foundation)
    const credentials = createCredentials(foundation, server)
    const denials = createDenials(foundation)
    const auth = this.auth = createAuthentication(foundation, { credentials, denials, revocations })
    const access = new Access(hub)
    const rates = this.rates = new UserRateLimiter(settings.limits.rate)
    const connectionIds = this.#connectionIds = new ConnectionIds(adapter, (error) => { failed(error, 'secret') })

    // Messages between them, and to other nodes.
    const dispatch = createDispatch(
      foundation,
      { hub, access, revocations, connections, slots, messages, acks, auth, rates }
    )
    this.#departures = dispatch.departures
    const polls = new Polls({
      joins: dispatch.joins,
      control: adapter.control,
      charge: (userId, cost) => { rates.charge(userId, cost) },
      grace: settings.presence.grace,
      now: () => performance.now(),
      onError: controlFailed
    })
    const elsewhere = this.#elsewhere = new Elsewhere(adapter.control)
    const unread = this.#unread = new Unread(log)
    const control = new RemoteControl({
      hub,
      connections,
      dispatch,
      revocations,
      acks,
      polls,
      elsewhere,
      denials,
      unread
    })
    this.#adapterHost = createAdapterHost(foundation, { hub, control, connectionIds, slots, denials })
    this.#contracts = createContractWatch(foundation)

    // The application's interface.
    this.inspector = new Inspector(connections, hub, ledger)
    this.rooms = new AppRooms({
      hub,
      connections,
      dispatch,
      revocations,
      acks,
      slots,
      denials,
      drain,
      adapter,
      readiness,
      stats: async () => ({ ...this.read() }),
      onUnhandled: (error, room, event) => { log.warn({ err: error, room, event }, 'a broadcast failed') }
    })

    // The clients' interface.
    const uplink = new Uplink({
      access,
      dispatch,
      acks,
      elsewhere,
      ids: connectionIds,
      revocations,
      rates,
      ledger,
      find: (id) => connections.get(id),
      whenOver: (request, callback) => { exchanges.whenOver(request, callback) }
    })
    const opening = openingCost(settings.limits)
    const admission = this.admission = new Admission({
      settings,
      auth,
      credentials,
      slots,
      rooms: hub,
      access,
      connectionIds,
      refusedUpgrades: server.refusedUpgrades,
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
    const websocket = this.#websocket = createWebSocketTransport(foundation, flusher)
    const endpoint = this.endpoint = new Endpoint({
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

    // Periodic work.
    this.#heartbeat = createHeartbeat(foundation, connections)
    this.#audit = createSlotAudit(foundation, { slots, connections, endpoint })
  }

  /** Returns the state of the node. */
  read (): StatsSnapshot {
    const { settings, nodeId, adapter, ledger } = this.foundation
    const facts = adapter.stats?.() ?? {}
    return snapshot(ledger, this.inspector, {
      node: nodeId,
      version: VERSION,
      capacity: settings.capacity,
      slots: this.#slots.taken,
      isAccepting: this.readiness.isAccepting,
      published: this.hub.published,
      gaps: this.hub.gaps,
      loop: this.#loop.read(),
      adapter: { name: adapter.name, ...facts, undecodable: Number(facts.undecodable ?? 0) + this.#unread.count },
      uptime: Math.round(performance.now() - this.#startedAt)
    })
  }

  async start (): Promise<void> {
    await this.foundation.adapter.start(this.#adapterHost)
    this.hub.start()
    this.#slots.start()
    await this.#connectionIds.start()
    this.#contracts?.start(this.hub.declarations.values())
    this.#heartbeat.start()
    this.#audit.start()
    this.#loop.start()
    this.readiness.start()
  }

  /** Stops what `start` has started, in the reverse order, and what runs since the node was made. */
  async stop (): Promise<void> {
    this.readiness.close()
    this.#loop.stop()
    this.#audit.stop()
    this.#heartbeat.stop()
    this.#connectionIds.stop()
    this.#slots.stop()
    this.hub.stop()
    this.#messages.stop()
    this.#flusher.close()
    this.#websocket.close()
    this.exchanges.stop()
    this.#server.stop()
    await this.foundation.adapter.close()
  }

  /** Ends all connections and waits for requests under way, within `drain.timeout`. */
  async drain (): Promise<void> {
    const deadline = performance.now() + this.foundation.settings.drain.timeout
    const guarded = this.#server.guard.close()
    const said = this.#contracts?.stop()
    await this.#drain.run()
    await this.#departures.close(new Refusal('draining'))
    await guarded
    await this.exchanges.close(deadline)
    await said
    this.#acks.close()
    this.#elsewhere.close()
    this.#server.closeSockets()
  }
}
