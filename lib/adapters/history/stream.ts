import { randomBytes } from 'node:crypto'
import type { Packet } from '../../protocol/packet.js'
import type { Position } from '../../protocol/position.js'
import { Latest } from '../../retention/latest.js'
import { Link, LinkedList } from '../../structures/linked-list.js'
import { Retained, Retention } from '../../retention/retention.js'
import { ShardedMap } from '../../structures/sharded-map.js'
import { Sweeper } from '../../structures/sweeper.js'
import type { HistoryPage, HistoryQuery } from '../adapter.js'
import { DAY } from '../../retention/bounds.js'
import { EventLog, type Stretch } from './event-log.js'

const NOTHING: Stretch = { events: [], isPart: false }

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
  /**
   * The events with the times at which they were accepted, by the clock of the `now` arguments; the publisher's clock
   * is no measure.
   */
  readonly #log = new EventLog()
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
  get length (): number { return this.#log.length }
  get bytes (): number { return this.#log.bytes }
  get ends (): number { return (this.#log.oldest ?? Number.POSITIVE_INFINITY) + this.#ttl }

  /** @param packet a packet whose offset is above the top */
  append (packet: Packet, limits: StreamLimits, now: number): void {
    this.#top = packet.position!.offset
    this.#log.append(packet, now - (packet.event!.age ?? 0))
    this.#ttl = limits.ttl
    while (this.length > limits.size) this.shift()
    this.expire(limits.ttl, now)
  }

  /** Drops all events and goes on behind `offset`: no position below that is covered any more. */
  advance (offset: number): void {
    if (offset <= this.#top) return
    while (this.length > 0) this.shift()
    this.#top = offset
    this.#trimmed = offset
  }

  expire (ttl: number, now: number): void {
    while (this.#log.oldest !== undefined && this.#log.oldest + ttl <= now) this.shift()
  }

  /** Drops the oldest event. */
  shift (): void { this.#trimmed = this.#log.shift() ?? this.#trimmed }

  covers (since: Position): boolean {
    return since.epoch === this.epoch && since.offset <= this.#top && since.offset >= this.#trimmed
  }

  read ({ since, last, limit, bytes }: HistoryQuery): HistoryPage {
    const resumed = since !== undefined && this.covers(since)
    const { events, isPart } = this.#find(resumed, since, { last, limit, bytes })
    const { epoch, top, floor } = this
    const goesOn = since === undefined
      ? floor
      : reentry(since, since.epoch === epoch ? top.offset : undefined, { epoch, top: top.offset, floor: floor.offset })
    return { resumed, events, top, floor: goesOn, ...(isPart ? { isPart } : {}) }
  }

  #find (resumed: boolean, since: Position | undefined, { last, limit, bytes }: HistoryQuery): Stretch {
    if (resumed) return this.#log.after(since!.offset, limit, bytes, this.epoch)
    return since === undefined ? this.#log.newest(last ?? limit, limit, bytes, this.epoch) : NOTHING
  }
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
  readonly #sweeper: Sweeper
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
    this.#sweeper = new Sweeper(() => this.sweep(now(), SLICE), SWEEP)
  }

  /** Begins to sweep; `stop` ends it. */
  start (): void { this.#sweeper.start() }

  stop (): void { this.#sweeper.stop() }

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

  /** Clears a room's stream, which goes on behind `offset`. */
  clear (stream: Stream, offset: number, now: number): void {
    stream.advance(offset)
    this.#retention.changed(stream, now)
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
    const isMore = this.#forgetUnused(this.#unused, UNUSED_TTL, now, most)
    return this.#forgetUnused(this.#idle, DAY, now, most) || isMore
  }

  #forgetUnused (rooms: LinkedList<Known>, ttl: number, now: number, most: number): boolean {
    for (let rest = most; rooms.first !== undefined && rooms.first.item.usedAt <= now - ttl; rest--) {
      if (rest === 0) return true
      const known = rooms.first.item
      // Events may be kept for longer: then it is looked at again when as much time has passed.
      if (known.stream.length > 0) this.#use(known, now)
      else this.delete(known.room)
    }
    return false
  }
}
