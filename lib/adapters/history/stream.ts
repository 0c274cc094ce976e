import { randomBytes } from 'node:crypto'
import type { Packet } from '../../protocol/packet.js'
import type { Position } from '../../protocol/position.js'
import { costOf, Latest } from '../../retention/latest.js'
import { Link, LinkedList } from '../../structures/linked-list.js'
import { Retained, Retention } from '../../retention/retention.js'
import { ShardedMap } from '../../structures/sharded-map.js'
import { Slices } from '../../structures/slices.js'
import { every } from '../../structures/timers.js'
import type { HistoryPage, HistoryQuery } from '../adapter.js'
import { DAY } from '../../retention/bounds.js'

export interface StreamLimits { readonly size: number, /** Milliseconds. */ readonly ttl: number }

/** Makes an epoch: eight characters of base64url, drawn once in a stream's life. */
export function newEpoch (): string {
  return randomBytes(6).toString('base64url')
}

/**
 * Position at which a reader continues that cannot be resumed: behind everything that its own epoch and the stream's
 * share, so that it does not receive events again.
 *
 * @param shared offset up to which both epochs are the same; `undefined` where the reader's epoch is unknown
 */
export function reentry (
  since: Position,
  shared: number | undefined,
  { epoch, top, floor }: { readonly epoch: string, readonly top: number, readonly floor: number }
): Position {
  return { epoch, offset: shared === undefined ? top : Math.max(floor, Math.min(since.offset, shared)) }
}

/**
 * Holds the retained events of one room: a ring in offset order, bounded by number and age here and by bytes in
 * `Streams`. Its epoch and top outlive the events. The clock is an argument, so this class has no timer.
 */
export class Stream extends Retained {
  readonly epoch: string
  #top: number
  /** Offset of the newest event that is gone: a `since` below it cannot be resumed. */
  #trimmed: number
  #events: Packet[] = []
  /**
   * Time at which each event was accepted, by the clock of the `now` arguments; the publisher's clock is no measure.
   */
  #acceptedAt: number[] = []
  /** Events before this index are gone; the array is compacted when they are half of it. */
  #head = 0
  #bytes = 0
  #ttl = Number.POSITIVE_INFINITY

  constructor (epoch: string = newEpoch(), top = 0) {
    super()
    this.epoch = epoch
    this.#top = top
    this.#trimmed = top
  }

  get top (): Position { return { epoch: this.epoch, offset: this.#top } }
  get floor (): Position { return { epoch: this.epoch, offset: this.#trimmed } }
  get next (): Position { return { epoch: this.epoch, offset: this.#top + 1 } }
  get length (): number { return this.#events.length - this.#head }
  get bytes (): number { return this.#bytes }
  get ends (): number {
    return this.length === 0 ? Number.POSITIVE_INFINITY : this.#acceptedAt[this.#head]! + this.#ttl
  }

  /** @param packet a packet whose offset is above the top */
  append (packet: Packet, limits: StreamLimits, now: number): void {
    this.#top = packet.position!.offset
    this.#events.push(packet)
    this.#acceptedAt.push(now - (packet.event!.age ?? 0))
    this.#bytes += costOf(packet)
    this.#ttl = limits.ttl
    while (this.length > limits.size) this.shift()
    this.expire(limits.ttl, now)
  }

  /** Moves the top without an event, as when a reader of a broker learns it. */
  advance (offset: number): void {
    if (offset <= this.#top) return
    while (this.length > 0) this.shift()
    this.#top = offset
    this.#trimmed = offset
  }

  expire (ttl: number, now: number): void {
    while (this.length > 0 && this.#acceptedAt[this.#head]! + ttl <= now) this.shift()
  }

  /** Drops the oldest event. */
  shift (): void {
    const packet = this.#events[this.#head]
    if (packet === undefined) return
    this.#bytes -= costOf(packet)
    this.#trimmed = packet.position!.offset
    // What stands before the head is never read, and must not keep the packet.
    this.#events[this.#head++] = undefined as unknown as Packet
    if (this.#head === this.#events.length) {
      this.#events = []
      this.#acceptedAt = []
      this.#head = 0
    } else if (this.#head > 32 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head)
      this.#acceptedAt = this.#acceptedAt.slice(this.#head)
      this.#head = 0
    }
  }

  /** Index of the first event after `offset`. */
  #after (offset: number): number {
    let low = this.#head
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#events[middle]!.position!.offset <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  covers (since: Position): boolean {
    return since.epoch === this.epoch && since.offset <= this.#top && since.offset >= this.#trimmed
  }

  read ({ since, last, limit, bytes }: HistoryQuery): HistoryPage {
    const resumed = since !== undefined && this.covers(since)
    let start = this.#events.length
    if (resumed) start = this.#after(since.offset)
    else if (since === undefined) {
      start = Math.max(this.#head, this.#events.length - Math.min(last ?? limit, this.length))
    }
    const asked = this.#events.slice(start, start + limit)
    const events = bytes === undefined ? asked : firstOf(asked, bytes)
    const { epoch, top, floor } = this
    const goesOn = since === undefined
      ? floor
      : reentry(since, since.epoch === epoch ? top.offset : undefined, { epoch, top: top.offset, floor: floor.offset })
    return { resumed, events, top, floor: goesOn, ...(events.length < asked.length ? { isPart: true } : {}) }
  }
}

function firstOf (packets: Packet[], most: number): Packet[] {
  let bytes = 0
  const end = packets.findIndex((packet, index) => (bytes += packet.bytes.length) > most && index > 0)
  return end === -1 ? packets : packets.slice(0, end)
}

/** Holds what is remembered of one room. */
class Known {
  readonly room: string
  readonly stream: Stream
  /** Its place among the rooms that may be forgotten; in no list while it is pinned. */
  readonly place = new Link<Known>(this)
  usedAt: number

  constructor (room: string, stream: Stream, now: number) {
    this.room = room
    this.stream = stream
    this.usedAt = now
  }
}

/** Milliseconds for which a room that never had an event is remembered: a client can only return to its start. */
const UNUSED_TTL = 300_000
/** Milliseconds between two sweeps. */
const SWEEP = 500
/** Events and rooms that one turn of the event loop drops. */
const SLICE = 1_000

/**
 * Streams and `latest` values of many rooms under one byte budget: above it, one of those that hold the most loses its
 * oldest part. What has expired is dropped soon after, whether or not its room is used. The cost of a step does not
 * depend on the number of rooms.
 */
export class Streams {
  readonly #retention: Retention
  readonly #capacity: number
  readonly #known = new ShardedMap<Known>()
  readonly #latest = new ShardedMap<Latest>()
  /** Rooms that may be forgotten, the least recently used first: those that had events, and those that had none. */
  readonly #idle = new LinkedList<Known>()
  readonly #unused = new LinkedList<Known>()
  readonly #sweep: Slices
  #sweeper: NodeJS.Timeout | undefined
  /**
   * Epoch of rooms that are not remembered. It is replaced whenever a room is forgotten, so that no room gets one epoch
   * twice.
   */
  #unborn = newEpoch()

  /**
   * @param budget bytes of all events and values together
   * @param capacity rooms whose epoch and top are remembered; beyond it the least recently used room that is not
   *   pinned is forgotten
   * @param now the monotonic clock by which all `now` are given, in milliseconds
   */
  constructor (budget: number, capacity: number, now = (): number => performance.now()) {
    this.#retention = new Retention(budget)
    this.#capacity = capacity
    this.#sweep = new Slices(() => this.sweep(now(), SLICE))
  }

  /** Begins to sweep; `stop` ends it. */
  start (): void { this.#sweeper ??= every(() => { this.#sweep.run() }, SWEEP).unref() }

  stop (): void {
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
    this.#sweep.stop()
  }

  get bytes (): number { return this.#retention.bytes }
  get size (): number { return this.#known.size }
  /** Number of events and values that were evicted before their time. */
  get evicted (): number { return this.#retention.evicted }

  peek (room: string): Stream | undefined { return this.#known.get(room)?.stream }

  /** The room's stream, or the one that it would have if it were opened now; nothing of it is kept. */
  look (room: string): Stream { return this.peek(room) ?? new Stream(this.#unborn) }

  /** The room's stream, which is made when there is none; it becomes the most recently used. */
  open (room: string, now: number): Stream {
    const known = this.#find(room, now)
    // A pinned room is in no list until it is unpinned.
    if (known.place.list !== undefined) this.#use(known, now)
    return known.stream
  }

  /** Returns the room's stream and keeps it until it is unpinned. */
  pin (room: string, now: number, make?: () => Stream): Stream {
    const known = this.#find(room, now, make)
    known.place.remove()
    return known.stream
  }

  unpin (room: string, now: number): void {
    const known = this.#known.get(room)
    if (known !== undefined) this.#use(known, now)
  }

  #find (room: string, now: number, make?: () => Stream): Known {
    let known = this.#known.get(room)
    if (known === undefined) {
      if (this.#known.size >= this.#capacity) this.#forget()
      known = new Known(room, make?.() ?? new Stream(this.#unborn), now)
      this.#known.set(room, known)
      this.#unused.push(known.place)
    }
    return known
  }

  #use (known: Known, now: number): void {
    known.usedAt = now
    if (known.stream.top.offset === 0) this.#unused.push(known.place)
    else this.#idle.push(known.place)
  }

  append (room: string, stream: Stream, packet: Packet, limits: StreamLimits, now: number): void {
    const isFirst = stream.top.offset === 0
    stream.append(packet, limits, now)
    this.#retention.changed(stream, now)
    if (!isFirst) return
    const known = this.#known.get(room)
    if (known?.place.list !== undefined) this.#use(known, now)
  }

  expire (stream: Stream, ttl: number, now: number): void {
    stream.expire(ttl, now)
    this.#retention.changed(stream, now)
  }

  /** Forgets the room's stream. */
  delete (room: string): void {
    const known = this.#known.get(room)
    if (known === undefined) return
    this.#known.delete(room)
    known.place.remove()
    this.#retention.remove(known.stream)
    this.#unborn = newEpoch()
  }

  /** @param ttl milliseconds for which the room's values are kept */
  setLatest (room: string, packet: Packet, ttl: number, now: number): void {
    let latest = this.#latest.get(room)
    if (latest === undefined) {
      latest = new Latest(ttl, () => { this.#latest.delete(room) })
      this.#latest.set(room, latest)
    }
    latest.set(packet, now)
    this.#retention.changed(latest, now)
  }

  /** Whether the room has this value, of this version. */
  hasLatest (room: string, type: string, key: string, version: number): boolean {
    return this.#latest.get(room)?.has(type, key, version) === true
  }

  /** Current values and removals with their ages. */
  latest (room: string, now: number): Packet[] {
    const latest = this.#latest.get(room)
    return latest === undefined ? [] : [...latest.aged(now)]
  }

  #forget (): void {
    const oldest = this.#unused.first ?? this.#idle.first
    if (oldest !== undefined) this.delete(oldest.item.room)
  }

  /** @returns whether there is more to do now */
  sweep (now: number, most: number): boolean {
    if (this.#retention.sweep(now, most)) return true
    const isMore = this.#forgetUnused(this.#unused, now - UNUSED_TTL, most)
    return this.#forgetUnused(this.#idle, now - DAY, most) || isMore
  }

  #forgetUnused (rooms: LinkedList<Known>, usedBefore: number, most: number): boolean {
    for (let rest = most; rooms.first !== undefined && rooms.first.item.usedAt <= usedBefore; rest--) {
      if (rest === 0) return true
      this.delete(rooms.first.item.room)
    }
    return false
  }
}
