import type { Metric, Registry } from 'prom-client'
import { codes, isCode, type Code } from '../protocol/codes.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { collected, type Give } from './collected.js'
import { distribution } from './distribution.js'
import { COUNTERS, DISTRIBUTIONS, type Counted } from './distributions.js'
import type { StatsSnapshot } from './snapshot.js'

const PREFIX = 'realtime_'
const CLOSES: ReadonlySet<string> = new Set(['gone', 'left'])

/**
 * What adapters count, by the names in their stats. An adapter of another package may count other things; those that it
 * shares with this list are exported as well.
 */
const ADAPTER = [
  ['rooms', 'gauge', 'adapter_rooms', 'Rooms that the adapter follows for this node.'],
  ['streams', 'gauge', 'adapter_streams', 'Rooms whose epoch and top the adapter remembers.'],
  ['historyBytes', 'gauge', 'adapter_history_bytes', 'Bytes of events and latest values that this process keeps.'],
  [
    'historyEvicted',
    'counter',
    'adapter_history_evicted_total',
    'Events and values that left before their time, for want of bytes.'
  ],
  ['textBytes', 'gauge', 'adapter_text_bytes', 'Bytes of texts that grow, as this process keeps them.'],
  ['remembered', 'gauge', 'adapter_remembered', 'Message ids, idempotency keys and outcomes that are remembered.'],
  ['rememberedBytes', 'gauge', 'adapter_remembered_bytes', 'Their bytes.'],
  [
    'forgotten',
    'counter',
    'adapter_forgotten_total',
    'Outcomes that were forgotten before their time: what they belong to would run again.'
  ],
  ['received', 'counter', 'adapter_received_total', 'Messages of the broker that this node heard.'],
  [
    'repairs',
    'counter',
    'adapter_repairs_total',
    'Times that a room was read from the broker because something was missing.'
  ],
  ['undecodable', 'counter', 'broker_undecodable_total', 'Messages and values of the broker that could not be read.']
] as const

const CODES = Object.keys(codes) as Code[]
const ENDS: readonly string[] = [...CODES.filter((code) => codes[code].close !== undefined), ...CLOSES]

/**
 * Counts by code, with 0 for what has not occurred: a series that begins above 0 shows no increase, so that no query
 * and no alert would find the first of its kind.
 */
function byCode (
  counts: Readonly<Record<string, number>>,
  known: readonly string[]
): Iterable<[code: string, count: number]> {
  return Object.entries({ ...Object.fromEntries(known.map((code) => [code, 0])), ...counts })
}

/**
 * Labels come from closed sets: all codes of an application become one value, so that they cannot create series without
 * end.
 */
function label (word: string): string {
  return isCode(word) || CLOSES.has(word) ? word : 'other'
}

/** The metrics as a scrape is answered with them. */
export interface Scrape { readonly contentType: string, readonly text: string }

/**
 * The snapshot as Prometheus metrics. They are read at each scrape, so that the hot path pays for plain integers only.
 */
export class Metrics {
  /** The application's own; without one, a registry is made at the first scrape, when prom-client is loaded. */
  readonly #given: Registry | undefined
  #made: Promise<Registry> | undefined
  readonly #own = new Map<string, Metric>()
  #latest: StatsSnapshot | undefined
  readonly #read: () => StatsSnapshot
  readonly #counted: Counted | undefined

  /**
   * @param counted what is not in the snapshot; absent for none
   * @param register the application's own registry; by default the metrics have a registry of their own
   * @throws REALTIME_ERR_OPTIONS when the registry already has metrics of the same names
   */
  constructor (read: () => StatsSnapshot, register?: unknown, counted?: Counted) {
    this.#read = read
    this.#counted = counted
    if (register !== undefined && typeof (register as { registerMetric?: unknown } | null)?.registerMetric !== 'function') {
      throw new REALTIME_ERR_OPTIONS('options.stats.register must be a prom-client Registry')
    }
    this.#given = register as Registry | undefined
    try {
      this.#define()
    } catch (error) {
      this.close()
      throw error
    }
  }

  /**
   * Content type and text of the registry: an application's registry may write OpenMetrics, and Prometheus 3 refuses a
   * text under another type.
   */
  async scrape (): Promise<Scrape> {
    const registry = this.#given ?? await (this.#made ??= this.#make())
    const text = await registry.metrics()
    return { contentType: registry.contentType, text }
  }

  /** Removes the metrics of this instance from the application's registry, and leaves those of other apps. */
  close (): void {
    for (const [name, metric] of this.#own) {
      if (this.#given?.getSingleMetric(name) === metric) this.#given.removeSingleMetric(name)
    }
    this.#own.clear()
  }

  async #make (): Promise<Registry> {
    const { Registry } = await import('prom-client')
    const registry = new Registry()
    for (const metric of this.#own.values()) registry.registerMetric(metric)
    return registry
  }

  #add (metric: Metric, name: string): void {
    if (this.#given?.getSingleMetric(name) !== undefined) {
      throw new REALTIME_ERR_OPTIONS(
        `options.stats.register already holds ${name}: give each app a Registry of its own, and metrics of yours another prefix than ${PREFIX}`
      )
    }
    this.#given?.registerMetric(metric)
    this.#own.set(name, metric)
  }

  /** One snapshot serves all metrics of a scrape, because they are collected in one turn of the event loop. */
  #now (): StatsSnapshot {
    if (this.#latest === undefined) {
      this.#latest = this.#read()
      queueMicrotask(() => { this.#latest = undefined })
    }
    return this.#latest
  }

  #collect (
    kind: 'gauge' | 'counter',
    name: string,
    help: string,
    collect: (give: Give, stats: StatsSnapshot) => void,
    labelNames: string[] = []
  ): void {
    const full = PREFIX + name
    this.#add(collected(kind, full, help, labelNames, (give) => { collect(give, this.#now()) }), full)
  }

  #gauge (name: string, help: string, collect: (set: Give, stats: StatsSnapshot) => void, labels?: string[]): void {
    this.#collect('gauge', name, help, collect, labels)
  }

  #counter (name: string, help: string, collect: (add: Give, stats: StatsSnapshot) => void, labels?: string[]): void {
    this.#collect('counter', name, help, collect, labels)
  }

  #distribute (): void {
    const counted = this.#counted
    for (const [name, help, labels, read] of COUNTERS) {
      this.#counter(name, help, (add) => { if (counted !== undefined) read(counted, add) }, labels)
    }
    for (const [name, help, labels, read] of DISTRIBUTIONS) {
      const full = PREFIX + name
      this.#add(distribution(full, help, labels, () => counted === undefined ? [] : read(counted)), full)
    }
  }

  #define (): void {
    this.#gauge('connections', 'Open connections.', (set, { connections }) => {
      for (const [transport, value] of Object.entries(connections.transports)) set(value, { transport })
    }, ['transport'])
    this.#gauge('connections_max', 'Connections allowed on this node.', (set, { connections }) => {
      set(connections.max)
    })
    this.#gauge('slots', 'Connections, and those on their way in or out.', (set, { connections }) => {
      set(connections.slots)
    })
    this.#counter('connections_opened_total', 'Connections opened.', (add, { connections }) => {
      for (const [transport, value] of Object.entries(connections.opened)) add(value, { transport })
    }, ['transport'])
    this.#counter(
      'connections_closed_total',
      'Connections ended, by the word of their close code.',
      (add, { closes }) => {
        for (const [code, value] of byCode(closes, ENDS)) add(value, { code: label(code) })
      },
      ['code']
    )
    this.#counter('admissions_refused_total', 'Connections and requests refused, by code.', (add, { refusals }) => {
      for (const [code, value] of byCode(refusals, CODES)) add(value, { code: label(code) })
    }, ['code'])
    this.#gauge('users', 'Users with at least one connection on this node.', (set, { users }) => { set(users) })
    this.#gauge('rooms', 'Rooms with members on this node, by definition.', (set, { rooms }) => {
      for (const [definition, counts] of Object.entries(rooms.definitions)) set(counts.rooms, { definition })
    }, ['definition'])
    this.#gauge('members', 'Memberships on this node, by definition.', (set, { rooms }) => {
      for (const [definition, counts] of Object.entries(rooms.definitions)) set(counts.members, { definition })
    }, ['definition'])
    this.#counter('messages_received_total', 'Frames received from clients.', (add, { messages }) => {
      add(messages.in)
    })
    this.#counter('message_errors_total', 'Frames answered with an error, by code.', (add, { messages }) => {
      for (const [code, value] of byCode(messages.errors, [...CODES, 'other'])) add(value, { code: label(code) })
    }, ['code'])
    this.#counter('received_bytes_total', 'Payload bytes received from clients.', (add, { messages }) => {
      add(messages.bytesIn)
    })
    this.#counter('events_published_total', 'Events published by this node.', (add, { events }) => {
      add(events.published)
    })
    this.#counter('deliveries_total', 'Pairs of event and connection, by what became of them.', (add, { ledger }) => {
      for (const outcome of ['delivered', 'resumed', 'conflated', 'dropped', 'gone'] as const) {
        add(ledger[outcome], { outcome })
      }
    }, ['outcome'])
    this.#counter('deliveries_meant_total', 'Pairs of event and connection that were offered.', (add, { ledger }) => {
      add(ledger.meant)
    })
    this.#gauge('deliveries_queued', 'Pairs of event and connection that wait in outboxes.', (set, { ledger }) => {
      set(ledger.queued)
    })
    this.#counter(
      'gaps_total',
      'Gaps that rooms of this node were told of, also where nobody knows how many events are lost.',
      (add, { events }) => { add(events.gaps) }
    )
    this.#counter('event_gaps_total', 'Events lost before this node.', (add, { ledger }) => { add(ledger.gaps) })
    this.#counter('frames_sent_total', 'Frames written.', (add, { events }) => { add(events.framesOut) })
    this.#counter('sent_bytes_total', 'Bytes written.', (add, { events }) => { add(events.bytesOut) })
    this.#counter('writes_total', 'Writes handed to the kernel.', (add, { events }) => { add(events.writes) })
    this.#gauge('outbox_frames', 'Frames that wait in outboxes.', (set, { outbox }) => { set(outbox.frames) })
    this.#gauge('outbox_bytes', 'Bytes that wait in outboxes.', (set, { outbox }) => { set(outbox.bytes) })
    this.#gauge('event_loop_delay_seconds', 'Delay of the event loop.', (set, { eventLoop }) => {
      for (const statistic of ['p50', 'p99', 'max'] as const) set(eventLoop[statistic] / 1_000, { statistic })
    }, ['statistic'])
    this.#gauge('uptime_seconds', 'Time since the start of the node.', (set, { uptime }) => { set(uptime / 1_000) })
    this.#gauge('accepting', 'Whether new connections are accepted.', (set, { accepting }) => {
      set(accepting ? 1 : 0)
    })
    this.#gauge('adapter_up', 'Whether the adapter can be reached.', (set, { adapter }) => {
      set(adapter.isUp === false ? 0 : 1)
    })
    for (const [key, kind, name, help] of ADAPTER) {
      this.#collect(kind, name, help, (give, { adapter }) => {
        // A value that this adapter does not count has no sample.
        if (typeof adapter[key] === 'number') give(adapter[key])
      })
    }
    this.#counter('api_published_total', 'Events published by the server API, by key.', (add, { api = {} }) => {
      for (const [key, { published }] of Object.entries(api)) if (key !== '') add(published, { key })
    }, ['key'])
    this.#counter(
      'api_refused_total',
      'Requests of the server API, and events in them, that were refused, by key (empty: no valid one) and code.',
      (add, { api = {} }) => {
        for (const [key, { refused }] of Object.entries(api)) {
          for (const [code, value] of Object.entries(refused)) add(value, { key, code: label(code) })
        }
      },
      ['key', 'code']
    )
    this.#distribute()
    this.#gauge('build_info', 'Version of the plugin.', (set, { version }) => { set(1, { version }) }, ['version'])
  }
}
