import { encodeEvent, type Packet } from '../protocol/codec.js'
import { keyOf } from '../protocol/key.js'
import type { Position } from '../protocol/position.js'
import { every } from '../timers.js'
import type {
  Adapter, AdapterHost, Claim, ClaimStore, DenialStore, HistoryPage, HistoryQuery, PresenceStore, Publication, Published, RoomSettings
} from './adapter.js'
import { Expiring } from './expiring.js'
import { MemoryPresence } from './memory-presence.js'
import { Streams, type Stream } from './stream.js'

export interface MemoryOptions {
  /** bytes of all retained events, default 64 MiB */
  readonly bytes?: number
  /** milliseconds that an idempotency key is remembered, default 120 000 */
  readonly idempotency?: number
  /** clock in Unix milliseconds */
  readonly now?: () => number
}

const MAX_STREAMS = 100_000
const MAX_KEYS = 10_000
const MAX_LATEST = 1_000
const METADATA_TTL = 86_400_000
const SWEEP = 60_000

interface Values { version: number, readonly packets: Expiring<Packet> }
interface Running { readonly hash: string, readonly outcome?: string, readonly until: number }

/** One process, no infrastructure. Everything is kept in memory and lost with the process: a new process is a new epoch. */
export class MemoryAdapter implements Adapter {
  readonly name = 'memory'
  readonly presence: PresenceStore
  readonly claims: ClaimStore
  readonly denials: DenialStore
  readonly #now: () => number
  readonly #streams: Streams
  readonly #latest = new Map<string, Values>()
  readonly #published: Expiring<Published>
  /** rooms with members here, and their streams: these are used all the time, and are neither looked up nor moved for it */
  readonly #subscribed = new Map<string, Stream | undefined>()
  readonly #touched = new Map<string, number>()
  readonly #idempotency: number
  #host: AdapterHost | undefined
  #sweeper: NodeJS.Timeout | undefined

  constructor (options: MemoryOptions = {}) {
    this.#now = options.now ?? Date.now
    this.#streams = new Streams(options.bytes ?? 64 * 1024 * 1024, MAX_STREAMS)
    this.#published = new Expiring(MAX_KEYS)
    this.#idempotency = options.idempotency ?? 120_000
    this.presence = new MemoryPresence(this.#now, (room, change) => {
      if (this.#subscribed.has(room)) this.#host?.presence(room, change)
    })
    this.claims = memoryClaims(this.#now)
    this.denials = memoryDenials(this.#now)
  }

  async start (host: AdapterHost): Promise<void> {
    this.#host = host
    this.#sweeper = every(() => { this.#forget() }, SWEEP).unref()
  }

  async close (): Promise<void> {
    clearInterval(this.#sweeper)
    this.#host = undefined
  }

  subscribe (room: string, { history }: RoomSettings): Position | undefined {
    this.#subscribed.set(room, undefined)
    if (history === false) return undefined
    const stream = this.#open(room)
    this.#subscribed.set(room, stream)
    return stream.top
  }

  unsubscribe (room: string): void {
    const stream = this.#subscribed.get(room)
    this.#subscribed.delete(room)
    if (stream !== undefined) this.#open(room)
    this.#touched.set(room, this.#now())
  }

  publish (room: string, publication: Publication, settings: RoomSettings): Published {
    const now = this.#now()
    const known = publication.idempotencyKey === undefined ? undefined : keyOf(room, publication.idempotencyKey)
    if (known !== undefined) {
      const before = this.#published.get(known, now)
      if (before !== undefined) return { ...before, recipients: 0 }
    }
    const packet = this.#keep(room, publication, settings, now)
    const recipients = this.#subscribed.has(room) ? this.#host?.event(room, packet) ?? 0 : 0
    const published = { position: packet.position, recipients }
    if (known !== undefined) this.#published.set(known, published, now + this.#idempotency, now)
    return published
  }

  #keep (room: string, publication: Publication, { history }: RoomSettings, now: number): Packet {
    const { type, delivery, timestamp, key, except, ack, data } = publication
    if (delivery === 'latest') {
      const values = this.#values(room)
      const packet = encodeEvent({ type, room, delivery, timestamp, key, except, ack, version: ++values.version }, data)
      const ttl = history === false ? METADATA_TTL : history.ttl
      values.packets.set(keyOf(type, key ?? ''), packet, now + ttl, now)
      return packet
    }
    if (delivery === 'volatile' || ack !== undefined || history === false) return encodeEvent({ type, room, delivery, timestamp, key, except, ack }, data)
    const stream = this.#open(room)
    const packet = encodeEvent({ type, room, delivery, timestamp, key, except, ack, position: stream.next }, data)
    this.#streams.append(room, stream, packet, history, now)
    return packet
  }

  history (room: string, query: HistoryQuery, { history }: RoomSettings): HistoryPage {
    const stream = this.#open(room)
    if (history !== false) this.#streams.expire(room, stream, history.ttl, this.#now())
    return stream.read(query)
  }

  latest (room: string): readonly Packet[] {
    const values = this.#latest.get(room)
    return values === undefined ? [] : [...values.packets.values(this.#now())]
  }

  stats (): Record<string, number> {
    return { streams: this.#streams.size, historyBytes: this.#streams.bytes }
  }

  #open (room: string): Stream {
    const own = this.#subscribed.get(room)
    if (own !== undefined) return own
    if (!this.#subscribed.has(room)) this.#touched.set(room, this.#now())
    return this.#streams.open(room, (name) => this.#subscribed.has(name))
  }

  #values (room: string): Values {
    let values = this.#latest.get(room)
    if (values === undefined) {
      values = { version: 0, packets: new Expiring(MAX_LATEST) }
      this.#latest.set(room, values)
    }
    return values
  }

  /** Metadata lives a day after the last publish, join or leave. */
  #forget (): void {
    const now = this.#now()
    for (const [room, at] of this.#touched) {
      if (this.#subscribed.has(room)) this.#touched.delete(room)
      else if (at + METADATA_TTL <= now) {
        this.#touched.delete(room)
        this.#streams.delete(room)
        this.#latest.delete(room)
      }
    }
    this.#published.sweep(now)
  }
}

/** @returns the embedded adapter; what one process needs, and the default */
export function memory (options?: MemoryOptions): Adapter {
  return new MemoryAdapter(options)
}

function memoryClaims (now: () => number): ClaimStore {
  const claims = new Expiring<Running>(MAX_KEYS)
  const values = new Expiring<string>(MAX_KEYS)
  return {
    claim (key, hash, lease): Claim {
      const known = claims.get(key, now())
      if (known === undefined) {
        claims.set(key, { hash, until: now() + lease }, now() + lease, now())
        return { state: 'claimed' }
      }
      if (known.hash !== hash) return { state: 'conflict' }
      if (known.outcome !== undefined) return { state: 'settled', outcome: known.outcome }
      return { state: 'running', retryAfter: known.until - now() }
    },
    settle (key, hash, outcome, ttl) {
      if (outcome === undefined) claims.delete(key)
      else {
        const until = now() + ttl
        if (!claims.replace(key, { hash, outcome, until }, until)) claims.set(key, { hash, outcome, until }, until, now())
      }
    },
    put (key, value, ttl) { values.set(key, value, now() + ttl, now()) },
    take (key) {
      const value = values.get(key, now())
      values.delete(key)
      return value
    }
  }
}

function memoryDenials (now: () => number): DenialStore {
  const denied = new Map<string, number>()
  return {
    deny (subject, until) {
      for (const [key, end] of denied) if (end <= now()) denied.delete(key)
      denied.set(subject, Math.max(until, denied.get(subject) ?? 0))
    },
    isDenied: (subjects) => subjects.some((subject) => (denied.get(subject) ?? 0) > now())
  }
}
