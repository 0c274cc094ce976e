import type { AdapterHost } from '../adapters/adapter.js'
import type { SlotAudit } from '../admission/slot-audit.js'
import { AppRooms } from '../app/app-rooms.js'
import { closingTimeOf, refusesOnClosing } from '../endpoint/fastify-internals.js'
import type { Heartbeat } from '../connection/heartbeat.js'
import { Refusal } from '../errors/refusal.js'
import type { ContractWatch } from '../rooms/contract-watch.js'
import type { Membership } from '../rooms/membership.js'
import type { ServerApi } from '../server-api/server-api.js'
import type { Counted } from '../stats/distributions.js'
import { healthOf, type Health } from '../stats/health.js'
import { Inspector } from '../stats/inspector.js'
import { LoopDelayMonitor } from '../stats/loop-delay.js'
import { snapshot, type StatsSnapshot } from '../stats/snapshot.js'
import { VERSION } from '../version.js'
import { createAdapterHost } from './adapter-host.js'
import { createClientInterface, type ClientInterface } from './client-interface.js'
import { createCore, type Core } from './core.js'
import type { Foundation } from './foundation.js'
import { findRisks, findSharedPort } from './guards.js'
import { NodeWatch } from './node-watch.js'
import { createContractWatch, createHeartbeat, createSlotAudit } from './parts.js'
import { ServerParts } from './server-parts.js'
import { enterPorts, leavePorts } from './shared-ports.js'

/** Milliseconds of the time that Fastify gives `app.close()`, which are left for what follows the drain. */
const SPARE = 1_000

/** All parts of one node, with their start and their stop. */
export class RealtimeNode {
  readonly foundation: Foundation
  readonly core: Core
  readonly clients: ClientInterface
  /** The application's interface: `app.rooms`. */
  readonly rooms: AppRooms
  readonly inspector: Inspector
  /** Absent without keys. */
  readonly api: ServerApi | undefined
  readonly #server: ServerParts
  readonly #adapterHost: AdapterHost
  readonly #contracts: ContractWatch | undefined
  readonly #heartbeat: Heartbeat<Membership>
  readonly #audit: SlotAudit
  readonly #loop = new LoopDelayMonitor()
  readonly #watch: NodeWatch
  #ports: ReadonlySet<number> = new Set()
  readonly #startedAt = performance.now()

  /** @param Api what makes the server API; needed where the options have keys */
  constructor (foundation: Foundation, Api: typeof ServerApi | undefined) {
    const { adapter, ledger, nodeId } = foundation
    this.foundation = foundation
    const server = this.#server = new ServerParts(foundation)
    const core = this.core = createCore(foundation, server)
    const { connections, hub, slots } = core
    this.inspector = new Inspector(connections, hub, ledger)
    this.rooms = new AppRooms({
      ...core,
      node: nodeId,
      adapter,
      online: core.hooks.online,
      stats: async () => ({ ...this.read() })
    })
    const { endpoint } = this.clients = createClientInterface(foundation, core, server)
    const { api } = foundation.options
    if (api !== undefined) this.api = new Api!({ ...foundation, ...core, api, rooms: this.rooms })
    this.#adapterHost = createAdapterHost(foundation, core)
    this.#contracts = createContractWatch(foundation)
    this.#watch = new NodeWatch(foundation, () => hub.evicted)
    this.#heartbeat = createHeartbeat(foundation, connections)
    this.#audit = createSlotAudit(foundation, { slots, connections, endpoint })
  }

  /** Returns the state of the node. */
  read (): StatsSnapshot {
    const { settings, nodeId, adapter, ledger } = this.foundation
    const { hub, slots, readiness, unread } = this.core
    const facts = adapter.stats?.() ?? {}
    return snapshot(ledger, this.inspector, {
      node: nodeId,
      version: VERSION,
      capacity: settings.capacity,
      slots: slots.taken,
      isAccepting: readiness.isAccepting,
      published: hub.published,
      gaps: hub.gaps,
      gapsTold: hub.gapsTold,
      loop: this.#loop.read(),
      adapter: {
        name: adapter.name,
        ...facts,
        historyEvicted: Number(facts.historyEvicted ?? 0) + hub.evicted,
        undecodable: Number(facts.undecodable ?? 0) + unread.count
      },
      uptime: Math.round(performance.now() - this.#startedAt),
      api: this.api?.read()
    })
  }

  /** Judges the node by the limits of the option `health`. */
  health (): Health {
    const { settings, adapter } = this.foundation
    const { slots, readiness } = this.core
    return healthOf({
      isAccepting: readiness.isAccepting,
      isAdapterUp: adapter.stats?.().isUp as boolean | undefined,
      loopDelay: this.#loop.read().p99,
      slots: slots.taken,
      max: settings.capacity
    }, settings.health)
  }

  /** What the metrics show besides. */
  get counted (): Counted {
    const { hub } = this.core
    const { roundTrips } = this.#heartbeat
    return { declarations: hub.declarations, adapterCalls: hub.calls, roundTrips }
  }

  async start (): Promise<void> {
    const { hub, hooks, slots, connectionIds, denials, readiness, roster } = this.core
    this.api?.start()
    await this.foundation.adapter.start(this.#adapterHost)
    hub.start()
    await hooks.start()
    slots.start()
    await connectionIds.start()
    denials.start()
    roster.start()
    this.#contracts?.start(hub.declarations.values())
    this.#heartbeat.start()
    this.#audit.start()
    this.#loop.start()
    this.#watch.start()
    for (const risk of findRisks(this.foundation, hub.declarations.values())) this.foundation.app.log.warn(risk)
    readiness.start()
  }

  /** Looks at the ports once the app listens. */
  listens (): void {
    const { app, adapter } = this.foundation
    if (adapter.name !== 'memory') return
    // A socket of the file system is a text here, whatever its type says, and no two apps can have one.
    const addresses: ReadonlyArray<{ readonly port: number } | string> = app.addresses()
    this.#ports = new Set(addresses.flatMap((address) => typeof address === 'string' ? [] : [address.port]))
    const risk = findSharedPort(enterPorts(this.#ports))
    if (risk !== undefined) app.log.warn(risk)
  }

  /** Stops what `start` has started, in the reverse order, and what runs since the node was made. */
  async stop (): Promise<void> {
    const { hub, hooks, slots, connectionIds, denials, dispatch, readiness, messages, exchanges, roster, recheck } =
      this.core
    const { flusher, websocket } = this.clients
    readiness.close()
    leavePorts(this.#ports)
    this.#watch.stop()
    this.#loop.stop()
    this.#audit.stop()
    this.#heartbeat.stop()
    recheck.stop()
    dispatch.joins.stop()
    await roster.stop()
    denials.stop()
    connectionIds.stop()
    slots.stop()
    hooks.stop()
    hub.stop()
    messages.stop()
    flusher.close()
    websocket.close()
    exchanges.stop()
    this.#server.stop()
    await this.foundation.adapter.close()
  }

  /**
   * Ends all connections and waits for requests under way, within `drain.timeout`. It ends before Fastify gives up
   * closing, because `app.close()` would reject, and the process might stay up.
   */
  async drain (): Promise<void> {
    const { app, settings: { drain: { rate, timeout } } } = this.foundation
    const begun = performance.now()
    const patience = Math.min(timeout, Math.max(0, closingTimeOf(app) - SPARE))
    // At the pace that was asked for, with the time in which the last one answers.
    const { size } = this.core.connections
    const needed = size === 0 ? 0 : Math.min(timeout, size / rate * 1_000 + SPARE)
    await this.#drain(begun + patience, patience)
    const isPatient = needed <= patience && performance.now() - begun < Math.max(patience, SPARE)
    if (patience === timeout || isPatient) return
    app.log.warn({
      limit: 'pluginTimeout',
      value: closingTimeOf(app),
      fix: `call rooms.drain() before app.close(), or create Fastify with a pluginTimeout above drain.timeout (${timeout})`
    }, 'the drain was cut short, because Fastify gives up closing after pluginTimeout')
  }

  async #drain (deadline: number, patience: number): Promise<void> {
    const { drain, dispatch, exchanges, acks, elsewhere, distant, lists, older, cluster } = this.core
    older.close()
    const guarded = this.#server.guard.close()
    const said = this.#contracts?.stop()
    // Fastify answers every request from now on, unless it is told not to.
    if (refusesOnClosing(this.foundation.app)) drain.refusePolls()
    await drain.run(patience)
    await dispatch.departures.close(new Refusal('draining'))
    await guarded
    await exchanges.close(deadline)
    await said
    acks.close()
    elsewhere.close()
    distant.close()
    lists.close()
    cluster.close()
    this.#server.closeSockets()
  }
}
