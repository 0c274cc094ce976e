import { encodeEvent, type Packet } from '../../protocol/packet.js'
import { keyOf, keyOfKind } from '../../protocol/key.js'
import type { Position } from '../../protocol/position.js'
import { pooled } from '../../protocol/websocket-frame.js'
import type {
  Adapter, AdapterHost, ClaimStore, DenialStore, HistoryPage, HistoryQuery, Publication, Published, RoomSettings
} from '../adapter.js'
import type { Awaitable } from '../../structures/awaitable.js'
import { latestTtl } from '../../retention/latest.js'
import { Remembered } from '../../retention/remembered.js'
import { Retention } from '../../retention/retention.js'
import { ShardedMap } from '../../structures/sharded-map.js'
import { Sweeper } from '../../structures/sweeper.js'
import { MemoryClaims, type Message } from './claims.js'
import { MemoryPresence } from './presence.js'
import { MemoryTexts } from './texts.js'
import { checkMemory } from '../options.js'
import { Streams, type Stream } from '../history/stream.js'
import { HISTORY_BYTES, IDEMPOTENCY, REMEMBERED } from '../../retention/bounds.js'

/** Options of `memory()`. What is unknown or wrong is refused with `REALTIME_ERR_OPTIONS`. */
export interface MemoryOptions {
  /** Bytes of all retained events, default 64 MiB. */
  readonly bytes?: number
  /** Milliseconds that an idempotency key is remembered, default 120 000. */
  readonly idempotency?: number
  /**
   * Bytes of message ids with their outcomes and of idempotency keys, which are kept for their time: in total and of
   * one user, by default what `limits.remembered` of the plugin says. Above the bound of one user its oldest is
   * evicted, above the total the oldest of one of those that hold most; this is counted in the stats as `forgotten` and
   * logged once a minute. Denials and values put for one `take` have the same total once more each.
   */
  readonly remembered?: {
    /** Bytes of all users together. */
    readonly bytes: number
    /** Bytes of one user. */
    readonly perUser: number
  }
  /** Clock in Unix milliseconds. */
  readonly now?: () => number
}

/** Rooms without members whose epoch and top are remembered. */
const MAX_STREAMS = 100_000
/** Bytes that a remembered publication costs. */
const PUBLISHED = 150
/** Milliseconds between two log lines about entries that a bound has evicted. */
const QUIET = 60_000
/** Entries that one turn of the event loop drops. */
const SLICE = 1_000

/**
 * The adapter for one process without infrastructure. Everything is kept in memory and lost with the process, so a new
 * process begins a new epoch.
 */
export class MemoryAdapter implements Adapter {
  readonly name = 'memory'
  readonly removal = true
  readonly presence: MemoryPresence
  readonly claims: ClaimStore
  readonly denials: Required<DenialStore>
  readonly texts: MemoryTexts
  /** Clock of Unix time, by which versions begin and denials end. */
  readonly #now: () => number
  /** Clock of everything else, so that a change of the machine's clock neither ends an entry nor keeps it. */
  readonly #clock: () => number
  readonly #streams: Streams
  /**
   * Rooms with members here, and their streams; `null` for one without history. These streams are used all the time, so
   * they are neither looked up nor moved in an order.
   */
  readonly #subscribed = new ShardedMap<Stream | null>()
  /** Order among all `latest` values. It begins at the clock, above what a client may know of an earlier process. */
  #version = 0
  readonly #idempotency: number
  readonly #published: Remembered<Published>
  readonly #claims: Remembered<Message>
  readonly #messages: MemoryClaims
  /**
   * Budgets: ids and keys share the first; values for one `take` have the second, so that the flood of a user cannot
   * evict them.
   */
  readonly #retentions: readonly [Retention, Retention]
  /** Budget of the denials, which end at Unix times. */
  readonly #denied: Retention
  readonly #sweeper: Sweeper
  /** Whether the bounds of what is remembered are those of the node. */
  readonly #isBoundByNode: boolean
  #host: AdapterHost | undefined
  #told = 0
  #toldAt = Number.NEGATIVE_INFINITY

  constructor (options: MemoryOptions = {}) {
    checkMemory(options)
    this.#now = options.now ?? Date.now
    this.#clock = options.now ?? (() => performance.now())
    const { bytes, perUser } = options.remembered ?? REMEMBERED
    this.#isBoundByNode = options.remembered === undefined
    this.#streams = new Streams(options.bytes ?? HISTORY_BYTES, MAX_STREAMS, this.#clock)
    this.#idempotency = options.idempotency ?? IDEMPOTENCY
    this.presence = new MemoryPresence(this.#clock, (room, change) => {
      if (this.#subscribed.has(room)) this.#host?.presence(room, change)
    })
    const [ids, values] = this.#retentions = [new Retention(bytes), new Retention(bytes)]
    this.#denied = new Retention(bytes)
    this.texts = new MemoryTexts({
      bytes: options.bytes ?? HISTORY_BYTES,
      now: this.#clock,
      unix: this.#now,
      deliver: (room, packet) => { if (this.#subscribed.has(room)) void this.#host?.event(room, packet) }
    })
    this.#published = new Remembered(ids, perUser)
    this.#claims = new Remembered(ids, perUser)
    const taken = new Remembered<string>(values)
    this.claims = this.#messages = new MemoryClaims(this.#claims, taken, this.#idempotency, this.#clock)
    this.denials = memoryDenials(new Remembered(this.#denied), this.#now)
    this.#sweeper = new Sweeper(() => {
      this.#tell()
      const isMore = this.#retentions.some((retention) => retention.sweep(this.#clock(), SLICE))
      const areTexts = this.texts.sweep(SLICE)
      return this.#denied.sweep(this.#now(), SLICE) || isMore || areTexts
    })
  }

  async start (host: AdapterHost): Promise<void> {
    this.#host = host
    if (this.#isBoundByNode && host.remembered !== undefined) this.#bound(host.remembered)
    this.#streams.start()
    this.#sweeper.start()
  }

  #bound ({ bytes, perUser, held }: NonNullable<AdapterHost['remembered']>): void {
    for (const retention of [...this.#retentions, this.#denied]) retention.limit(bytes)
    for (const remembered of [this.#published, this.#claims]) {
      remembered.limit(perUser)
      remembered.onHeld = held
    }
  }

  async close (): Promise<void> {
    this.#sweeper.stop()
    this.#streams.stop()
    this.presence.stop()
    this.#host = undefined
  }

  subscribe (room: string, { history }: RoomSettings): Position | undefined {
    this.#subscribed.set(room, null)
    if (history === false) return undefined
    const stream = this.#streams.pin(room, this.#clock())
    this.#subscribed.set(room, stream)
    return stream.top
  }

  unsubscribe (room: string): void {
    this.#subscribed.delete(room)
    this.#streams.unpin(room, this.#clock())
  }

  publish (room: string, publication: Publication, settings: RoomSettings): Awaitable<Published> {
    const now = this.#clock()
    const { idempotencyKey, message } = publication
    if (idempotencyKey !== undefined) {
      const before = (message === undefined ? undefined : this.#messages.before(message, room)) ??
        this.#published.get(keyOf(room, idempotencyKey), now)
      if (before !== undefined) return before
    }
    const { removes, type, key = '' } = publication
    if (removes?.version !== undefined && !this.#streams.hasLatest(room, type, key, removes.version)) {
      return { recipients: 0 }
    }
    const subscribed = this.#subscribed.get(room)
    const packet = this.#keep(room, subscribed, publication, settings, now)
    const recipients = subscribed === undefined ? 0 : this.#host?.event(room, packet) ?? 0
    const { position } = packet
    if (idempotencyKey !== undefined) this.#remember(room, publication, position, now)
    if (!(recipients instanceof Promise)) return { position, recipients }
    return recipients.then((offered) => ({ position, recipients: offered }))
  }

  #remember (
    room: string, { idempotencyKey = '', message, owner }: Publication, position: Position | undefined, now: number
  ): void {
    if (message !== undefined && this.#messages.published(message, room, position, owner ?? '')) return
    this.#published.set(
      owner === undefined ? keyOfKind('room', room) : keyOfKind('user', owner),
      keyOf(room, idempotencyKey),
      { position, recipients: 0 },
      PUBLISHED,
      now + this.#idempotency,
      now
    )
  }

  #keep (
    room: string, subscribed:
      | Stream
      | null
      | undefined, publication: Publication, settings: RoomSettings, now: number
  ): Packet {
    const { type, delivery, timestamp, key, except, ack, data, removes, user, traceparent } = publication
    const { history } = settings
    if (delivery === 'latest') {
      const version = this.#version = Math.max(this.#version + 1, this.#now())
      const isRemoval = removes !== undefined
      const packet = encodeEvent(
        { type, room, delivery, timestamp, key, except, ack, version, isRemoval, user, traceparent },
        data
      )
      this.#streams.setLatest(room, packet, latestTtl(settings), now)
      return packet
    }
    if (delivery === 'volatile' || ack !== undefined || history === false) {
      return encodeEvent({ type, room, delivery, timestamp, key, except, ack, traceparent }, data, pooled)
    }
    const stream = subscribed ?? this.#streams.open(room, now)
    const packet = encodeEvent(
      { type, room, delivery, timestamp, key, except, ack, position: stream.next, traceparent },
      data,
      pooled
    )
    this.#streams.append(room, stream, packet, history, now)
    return packet
  }

  history (room: string, query: HistoryQuery, { history }: RoomSettings): HistoryPage {
    const stream = this.#subscribed.get(room) ?? this.#streams.look(room)
    if (history !== false) this.#streams.expire(stream, history.ttl, this.#clock())
    return stream.read(query)
  }

  clear (room: string, settings: RoomSettings): void {
    if (settings.append !== undefined) this.texts.clear(room, settings)
    if (settings.history === false) return
    const now = this.#clock()
    const stream = this.#subscribed.get(room) ?? this.#streams.open(room, now)
    const { epoch, offset } = stream.next
    this.#streams.clear(stream, offset, now)
    if (this.#subscribed.has(room)) this.#host?.gap(room, { epoch, to: offset })
  }

  latest (room: string): readonly Packet[] { return this.#streams.latest(room, this.#clock()) }

  get #all (): readonly Retention[] { return [...this.#retentions, this.#denied] }

  /** Number of ids, keys, denials and values that were evicted before their time. */
  get #forgotten (): number {
    const early = this.#all.reduce((sum, { evicted }) => sum + evicted, 0)
    return early + this.#published.evicted + this.#claims.evicted
  }

  stats (): Record<string, number> {
    return {
      streams: this.#streams.size,
      historyBytes: this.#streams.bytes,
      historyEvicted: this.#streams.evicted + this.texts.evicted,
      textBytes: this.texts.bytes,
      remembered: this.#claims.size + this.#published.size,
      rememberedBytes: this.#all.reduce((sum, { bytes }) => sum + bytes, 0),
      forgotten: this.#forgotten
    }
  }

  #tell (): void {
    const forgotten = this.#forgotten
    const now = performance.now()
    if (forgotten === this.#told || now - this.#toldAt < QUIET) return
    this.#host?.log.warn(
      { forgotten: forgotten - this.#told, bytes: this.#retentions[0].bytes },
      'message ids, outcomes, idempotency keys, tickets or denials were forgotten before their time: a repeated message may run again; raise limits.remembered, or lower the rate or the size of replies'
    )
    this.#told = forgotten
    this.#toldAt = now
  }
}

/** @returns the embedded adapter, which is the default and enough for one process */
export function memory (options?: MemoryOptions): Adapter {
  return new MemoryAdapter(options)
}

interface Denied { readonly until: number, readonly version: number | undefined }

function memoryDenials (denied: Remembered<Denied>, now: () => number): Required<DenialStore> {
  return {
    deny (subject, until, version) {
      const at = now()
      const known = denied.get(subject, at)
      const end = Math.max(until, known?.until ?? at)
      const highest = Math.max(version ?? 0, known?.version ?? 0) || undefined
      // Each denial is its own owner, because they end at different times.
      if (end > at) denied.set(subject, subject, { until: end, version: highest }, 0, end, at)
    },
    version: (subject) => denied.get(subject, now())?.version,
    isDenied: (subjects) => subjects.some((subject) => denied.get(subject, now()) !== undefined)
  }
}
