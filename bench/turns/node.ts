import { setImmediate } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import { Access } from '../../dist/admission/access.js'
import { BroadcastAcks } from '../../dist/dispatch/broadcast-acks.js'
import type { ControlMessage } from '../../dist/adapters/adapter.js'
import { MemoryAdapter } from '../../dist/adapters/memory/adapter.js'
import { Unread } from '../../dist/adapters/broker/unread.js'
import { RemoteControl } from '../../dist/app/control.js'
import { Older } from '../../dist/app/older.js'
import { OwnConnections } from '../../dist/app/own-connections.js'
import type { Requests } from '../../dist/app/requests.js'
import type { Denials } from '../../dist/auth/denials.js'
import { Connection, type ConnectionHost } from '../../dist/connection/connection.js'
import { Connections } from '../../dist/connection/connections.js'
import { Flusher } from '../../dist/connection/flusher.js'
import { Heartbeat } from '../../dist/connection/heartbeat.js'
import type { Link, LinkEvents } from '../../dist/connection/link.js'
import { defineRoom } from '../../dist/contract/index.js'
import { Dispatch } from '../../dist/dispatch/dispatch.js'
import { FailureLog } from '../../dist/errors/failure-log.js'
import { LimitWarnings } from '../../dist/errors/limit-warnings.js'
import { Drain } from '../../dist/connection/drain.js'
import { DistantDepartures } from '../../dist/dispatch/distant-departures.js'
import { Elsewhere } from '../../dist/dispatch/elsewhere.js'
import { Gathering } from '../../dist/dispatch/gathering.js'
import { Roster } from '../../dist/dispatch/roster.js'
import { Untold } from '../../dist/dispatch/untold.js'
import { Messages } from '../../dist/dispatch/messages.js'
import { Cluster } from '../../dist/stats/cluster.js'
import { Inspector } from '../../dist/stats/inspector.js'
import type { Polls } from '../../dist/endpoint/polls.js'
import { encodeFrame } from '../../dist/protocol/packet.js'
import { Refusals } from '../../dist/admission/refusals.js'
import { Revocations } from '../../dist/auth/revocations.js'
import { declare } from '../../dist/rooms/declaration.js'
import { Hub } from '../../dist/rooms/hub.js'
import { Slots } from '../../dist/admission/slots.js'
import { Ledger } from '../../dist/stats/ledger.js'
import type { Membership } from '../../dist/rooms/membership.js'

const many = defineRoom('many/:id', { events: { msg: Type.Object({ text: Type.String() }) } })
const all = defineRoom('@all', { events: { notice: Type.Object({ text: Type.String() }) } })

/** Connections of one user, for what is done to all of a user's. */
export const COMMON = 1_000

const BEAT = Buffer.from([0x89, 0])

/** Takes everything and keeps nothing: what a socket costs is not measured here. */
class NullLink implements Link {
  readonly transport = 'websocket'
  #events: LinkEvents | undefined
  attach (events: LinkEvents): void { this.#events = events }
  write (): boolean { return true }
  close (code: number): void { process.nextTick(() => { this.#events?.closed(code) }) }
  destroy (): void { this.#events?.closed(1006) }
  beat (): Uint8Array { return BEAT }
}

const quiet = (): undefined => undefined
const log = {
  info: quiet,
  warn: quiet,
  error: quiet,
  debug: quiet,
  trace: quiet,
  fatal: quiet,
  silent: quiet,
  level: 'silent',
  child: () => log
}

/**
 * The inside of a node as the plugin puts it together, without the server: its connections end in links that take
 * everything.
 */
export class BenchNode {
  /** milliseconds that the clock of the adapter is ahead */
  ahead = 0
  readonly ledger = new Ledger()
  readonly connections = new Connections<Membership>()
  readonly adapter: MemoryAdapter
  readonly hub: Hub
  readonly inspector: Inspector
  readonly drain: Drain
  readonly heartbeat: Heartbeat<Membership>
  readonly slots: Slots
  renewed = 0
  readonly acks: BroadcastAcks
  readonly #dispatch: Dispatch
  readonly #control: RemoteControl
  readonly #host: ConnectionHost<Membership>

  constructor (bytes: number) {
    const { ledger, connections } = this
    const revocations = new Revocations()
    this.acks = new BroadcastAcks('bench', undefined, quiet)
    this.adapter = new MemoryAdapter({ bytes, now: () => Date.now() + this.ahead })
    this.hub = new Hub(this.adapter, {
      presence: { grace: 200, lease: 60_000 },
      presenceList: 200,
      eventLimit: 262_144,
      latestBytes: bytes,
      validateOutput: false,
      onError: quiet,
      onUnhandled: quiet,
      onOffered: (event) => this.acks.offered(event)
    })
    for (const [definition, presence] of [[many, true], [all, false]] as const) {
      this.hub.declarations.add(declare(definition, { presence }, {}, { history: { size: 100, ttl: 300_000 } }, log))
    }
    const leases = {
      acquire: async () => true,
      renew: async (batch: ReadonlyArray<unknown>) => { this.renewed += batch.length },
      release: async () => undefined,
      count: async () => 0
    }
    this.slots = new Slots(
      { capacity: 1e6, user: 1e6, address: undefined, whenUnavailable: 'admit' },
      leases,
      quiet,
      quiet
    )
    const untold = new Untold(undefined, quiet)
    this.#dispatch = new Dispatch({
      rooms: this.hub,
      access: new Access(this.hub, { checkRoom: () => undefined }, 30_000),
      timeout: 30_000,
      revocations,
      connections,
      slots: this.slots,
      messages: new Messages(this.adapter.claims, {
        timeout: 30_000,
        window: 120_000,
        holder: 'bench',
        validateOutput: false,
        remembered: { bytes: 67_108_864, perUser: 4_194_304 },
        log,
        failures: new FailureLog()
      }),
      acks: this.acks,
      untold,
      ledger,
      refusals: new Refusals(log, undefined),
      log,
      limitWarnings: new LimitWarnings(log),
      roomLimit: 128,
      message: 65_536,
      burst: 100,
      waiting: 6_553_600,
      answer: 262_144,
      presenceList: 200,
      validateOutput: false,
      charge: quiet,
      redeem: async () => { throw new Error('no tickets here') }
    })
    this.#host = {
      flusher: new Flusher(),
      counters: ledger,
      outboxLimit: 1_048_576,
      rate: { messages: 50, burst: 100 },
      ...this.#dispatch.host
    }
    this.inspector = new Inspector(connections, this.hub, ledger)
    this.drain = new Drain(connections, { rate: 100_000, timeout: 20_000 }, () => this.hub.texts.close())
    const roster = new Roster(undefined, quiet)
    const elsewhere = new Elsewhere(undefined)
    this.#control = new RemoteControl({
      hub: this.hub,
      connections,
      dispatch: this.#dispatch,
      revocations,
      acks: this.acks,
      untold,
      requests: {} as Requests,
      polls: {} as Polls,
      elsewhere,
      distant: new DistantDepartures(this.#dispatch.departures, connections, undefined, 30_000, quiet),
      cluster: new Cluster({ node: 'bench', control: undefined, gathering: new Gathering(roster), onError: quiet }),
      denials: { remember: quiet } as unknown as Denials,
      roster,
      lists: new Gathering(roster),
      own: new OwnConnections('bench', connections, this.hub),
      older: new Older({ node: 'bench', connections, slots: this.slots, roster, elsewhere, control: undefined }),
      node: 'bench',
      control: undefined,
      unread: new Unread(log)
    })
    this.heartbeat = new Heartbeat(connections, {
      interval: 25_000,
      timeout: 10_000,
      comment: 15_000,
      tolerance: 5_000,
      write: 30_000
    })
  }

  async start (): Promise<void> {
    await this.adapter.start({ nodeId: 'bench', log, ...this.hub.host, control: quiet, missed: quiet, state: quiet })
    this.hub.start()
  }

  /** What another node asks of this one. */
  async control (message: ControlMessage): Promise<void> { await this.#control.handle(message, 'other') }

  async stop (): Promise<void> {
    this.hub.stop()
    this.heartbeat.stop()
    this.slots.stop()
    await this.adapter.close()
  }

  /**
   * Lets connections come whose numbers are from `from` up to `to`.
   *
   * @param rooms of each connection, besides `@all`
   */
  async populate (from: number, to: number, rooms: number): Promise<void> {
    for (let index = from; index < to; index++) {
      const id = `connection-${index}`
      const userId = index < COMMON ? 'common' : `user-${index}`
      this.slots.reserve(id, userId, '', [])
      await this.slots.lease(id, [])
      const connection = new Connection<Membership>(this.#host, {
        id,
        address: '',
        identity: { user: {}, userId, tokenId: `token-${index}` }
      })
      this.connections.add(connection, 'websocket')
      connection.attach(new NullLink())
      const names = ['@all', ...Array.from({ length: rooms }, (_, room) => `many/${index * rooms + room}`)]
      const entries = names.map((name) => ({ name, found: this.hub.locate(name), request: {} }))
      await this.#dispatch.firstRooms.open(connection, entries, 0, () => encodeFrame({ type: 'pong' }))
      if (index % 10 === 0) await setImmediate()
    }
  }
}
