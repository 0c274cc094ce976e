import type { Ledger, Transport } from './ledger.js'
import type { LoopDelay } from './loop-delay.js'

/** What the node holds, read when the stats are requested. */
export interface StatsSource {
  readonly connections: {
    readonly total: number
    readonly users: number
    readonly transports: Readonly<Record<Transport, number>>
  }
  outbox (): { readonly frames: number, readonly bytes: number, readonly events: number }
  readonly activeRooms: number
  byDefinition (): ReadonlyMap<string, { readonly rooms: number, readonly members: number }>
}

export interface NodeFacts {
  readonly node: string
  readonly version: string
  /** Connections allowed on this node. */
  readonly capacity: number
  /** Slots taken: connections, and those that are opening or closing. */
  readonly slots: number
  readonly isAccepting: boolean
  readonly published: number
  readonly gaps: number
  /** Gaps that rooms here were told of. */
  readonly gapsTold: number
  readonly loop: LoopDelay
  /** Its name, its counters, and `isUp` when it can be down. */
  readonly adapter: Readonly<Record<string, unknown>>
  /** Milliseconds since the start. */
  readonly uptime: number
  /** What the server API counts, by the names of its keys; absent without keys. */
  readonly api?: StatsSnapshot['api']
}

/**
 * The object that `GET /ws/stats` returns. Times are milliseconds, sizes are bytes, counters run since the start of the
 * node.
 */
export interface StatsSnapshot {
  readonly node: string
  readonly version: string
  readonly uptime: number
  readonly accepting: boolean
  readonly connections: {
    readonly total: number
    readonly max: number
    /** Slots of `max` that are taken: connections, and those that are opening or closing. */
    readonly slots: number
    /** Connections in percent of `max`, with one decimal. */
    readonly capacityPercent: number
    readonly transports: Readonly<Record<Transport, number>>
    readonly opened: Readonly<Record<Transport, number>>
  }
  readonly users: number
  readonly rooms: {
    readonly active: number
    readonly definitions: Readonly<Record<string, { readonly rooms: number, readonly members: number }>>
  }
  readonly messages: {
    readonly in: number
    readonly bytesIn: number
    readonly errors: Readonly<Record<string, number>>
  }
  readonly events: {
    readonly published: number
    readonly out: number
    readonly framesOut: number
    readonly bytesOut: number
    readonly writes: number
    /** Gaps that rooms were told of, also where nobody knows how many events are lost. */
    readonly gaps: number
  }
  readonly refusals: Readonly<Record<string, number>>
  readonly closes: Readonly<Record<string, number>>
  readonly outbox: { readonly frames: number, readonly bytes: number }
  readonly eventLoop: LoopDelay
  readonly ledger: {
    readonly meant: number
    readonly delivered: number
    readonly resumed: number
    readonly conflated: number
    readonly dropped: number
    readonly gone: number
    readonly queued: number
    readonly gaps: number
  }
  readonly adapter: Readonly<Record<string, unknown>>
  /**
   * What programs have published and were refused, by the names of their keys; what came without a valid key stands
   * under the empty name. Absent where there is no server API.
   */
  readonly api?: Readonly<Record<string, {
    readonly published: number
    readonly refused: Readonly<Record<string, number>>
  }>> | undefined
}

/**
 * Reads everything once.
 *
 * @returns plain data: what is counted later does not change it
 */
export function snapshot (ledger: Ledger, source: StatsSource, facts: NodeFacts): StatsSnapshot {
  const { total, users, transports } = source.connections
  const { frames, bytes, events } = source.outbox()
  return {
    node: facts.node,
    version: facts.version,
    uptime: facts.uptime,
    accepting: facts.isAccepting,
    connections: {
      total,
      max: facts.capacity,
      slots: facts.slots,
      capacityPercent: Math.round(total / facts.capacity * 1_000) / 10,
      transports: { ...transports },
      opened: { ...ledger.opened }
    },
    users,
    rooms: { active: source.activeRooms, definitions: Object.fromEntries(source.byDefinition()) },
    messages: { in: ledger.messagesIn, bytesIn: ledger.bytesIn, errors: Object.fromEntries(ledger.errors) },
    events: {
      published: facts.published,
      out: ledger.delivered + ledger.resumed,
      framesOut: ledger.framesOut,
      bytesOut: ledger.bytesOut,
      writes: ledger.writes,
      gaps: facts.gapsTold
    },
    refusals: Object.fromEntries(ledger.refusals),
    closes: Object.fromEntries(ledger.closes),
    outbox: { frames, bytes },
    eventLoop: facts.loop,
    ledger: {
      meant: ledger.meant,
      delivered: ledger.delivered,
      resumed: ledger.resumed,
      conflated: ledger.conflated,
      dropped: ledger.dropped,
      gone: ledger.gone,
      queued: events,
      gaps: facts.gaps
    },
    adapter: facts.adapter,
    ...(facts.api === undefined ? {} : { api: facts.api })
  }
}
