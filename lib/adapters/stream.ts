import { randomBytes } from 'node:crypto'
import type { Packet } from '../protocol/codec.js'
import type { Position } from '../protocol/position.js'
import type { HistoryPage, HistoryQuery } from './adapter.js'

export interface StreamLimits { readonly size: number, /** milliseconds */ readonly ttl: number }

/** Eight characters of base64url, drawn once in a stream's life. */
export function newEpoch (): string {
  return randomBytes(6).toString('base64url')
}

/**
 * Where a reader goes on that cannot be resumed: behind all that its own epoch and the stream's have in common, or it would be told again
 * what it has heard.
 *
 * @param shared offset up to which both epochs are one; `undefined` where nothing is known of it
 */
export function reentry (since: Position, shared: number | undefined, { epoch, top, floor }: { readonly epoch: string, readonly top: number, readonly floor: number }): Position {
  return { epoch, offset: shared === undefined ? top : Math.max(floor, Math.min(since.offset, shared)) }
}

/** A retained packet is charged twice its frame: its SSE form may be kept beside it. */
const OVERHEAD = 256
function cost (packet: Packet): number {
  return packet.bytes.length * 2 + OVERHEAD
}

/**
 * The retained events of one room: a ring in offset order, bounded by number and age here and by bytes in `Streams`. Its epoch and top
 * outlive the events. Pure: the clock is an argument.
 */
export class Stream {
  readonly epoch: string
  #top: number
  /** offset of the newest event that is gone: `since` below it cannot be honoured */
  #trimmed: number
  #events: Packet[] = []
  /** events before this index are gone; compacted when it is half of the array */
  #head = 0
  #bytes = 0

  constructor (epoch: string = newEpoch(), top = 0) {
    this.epoch = epoch
    this.#top = top
    this.#trimmed = top
  }

  get top (): Position { return { epoch: this.epoch, offset: this.#top } }
  get floor (): Position { return { epoch: this.epoch, offset: this.#trimmed } }
  get next (): Position { return { epoch: this.epoch, offset: this.#top + 1 } }
  get length (): number { return this.#events.length - this.#head }
  get bytes (): number { return this.#bytes }

  /** @param packet its offset is above the top */
  append (packet: Packet, limits: StreamLimits, now: number): void {
    this.#top = packet.position!.offset
    this.#events.push(packet)
    this.#bytes += cost(packet)
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
    while (this.length > 0 && this.#events[this.#head]!.event!.timestamp + ttl <= now) this.shift()
  }

  /** Loses the oldest event. */
  shift (): void {
    const packet = this.#events[this.#head]
    if (packet === undefined) return
    this.#bytes -= cost(packet)
    this.#trimmed = packet.position!.offset
    this.#events[this.#head++] = undefined as unknown as Packet
    if (this.#head > 32 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head)
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

  read ({ since, last, limit }: HistoryQuery): HistoryPage {
    const resumed = since !== undefined && this.covers(since)
    let start = this.#events.length
    if (resumed) start = this.#after(since.offset)
    else if (since === undefined) start = Math.max(this.#head, this.#events.length - Math.min(last ?? limit, this.length))
    const events = this.#events.slice(start, start + limit)
    const { epoch, top, floor } = this
    const goesOn = since === undefined ? floor : reentry(since, since.epoch === epoch ? top.offset : undefined, { epoch, top: top.offset, floor: floor.offset })
    return { resumed, events, top, floor: goesOn }
  }
}

/** Streams of many rooms under one byte budget: over it, the room that holds most loses its oldest events. */
export class Streams {
  readonly #budget: number
  readonly #capacity: number
  readonly #streams = new Map<string, Stream>()
  /** sizes by power of two, so that the largest room is found among few */
  readonly #classes: Array<Set<string>> = []
  #bytes = 0

  /**
   * @param budget bytes of all events together
   * @param capacity streams whose epoch and top are remembered; beyond it the least recently used that `isPinned` lets go
   */
  constructor (budget: number, capacity: number) {
    this.#budget = budget
    this.#capacity = capacity
  }

  get bytes (): number { return this.#bytes }
  get size (): number { return this.#streams.size }

  peek (room: string): Stream | undefined { return this.#streams.get(room) }

  /** The room's stream, born with a new epoch when there is none; now the most recently used. */
  open (room: string, isPinned: (room: string) => boolean, make: () => Stream = () => new Stream()): Stream {
    const known = this.#streams.get(room)
    if (known !== undefined) {
      this.#streams.delete(room)
      this.#streams.set(room, known)
      return known
    }
    const stream = make()
    this.#streams.set(room, stream)
    if (this.#streams.size > this.#capacity) this.#evict(isPinned)
    return stream
  }

  append (room: string, stream: Stream, packet: Packet, limits: StreamLimits, now: number): void {
    const before = stream.bytes
    stream.append(packet, limits, now)
    this.#changed(room, stream, before)
    if (this.#bytes > this.#budget) this.#shrink()
  }

  expire (room: string, stream: Stream, ttl: number, now: number): void {
    const before = stream.bytes
    stream.expire(ttl, now)
    this.#changed(room, stream, before)
  }

  delete (room: string): void {
    const stream = this.#streams.get(room)
    if (stream === undefined) return
    this.#streams.delete(room)
    this.#classes[classOf(stream.bytes)]?.delete(room)
    this.#bytes -= stream.bytes
  }

  #changed (room: string, stream: Stream, before: number): void {
    this.#bytes += stream.bytes - before
    const from = classOf(before)
    const to = classOf(stream.bytes)
    if (from === to) return
    this.#classes[from]?.delete(room)
    if (stream.bytes > 0) (this.#classes[to] ??= new Set()).add(room)
  }

  /** To 15/16 of the budget, so that the search for the largest is paid once for many appends. */
  #shrink (): void {
    const target = this.#budget - (this.#budget >>> 4)
    while (this.#bytes > target) {
      const top = this.#classes.findLast((set) => set !== undefined && set.size > 0)
      if (top === undefined) return
      let largest: string | undefined
      let most = -1
      for (const room of top) {
        const { bytes } = this.#streams.get(room)!
        if (bytes > most) [largest, most] = [room, bytes]
      }
      const stream = this.#streams.get(largest!)!
      const goal = Math.max(0, most - Math.max(most >>> 3, 1))
      while (stream.bytes > goal) stream.shift()
      this.#changed(largest!, stream, most)
    }
  }

  #evict (isPinned: (room: string) => boolean): void {
    let looked = 0
    for (const [room, stream] of this.#streams) {
      if (!isPinned(room)) {
        this.delete(room)
        return
      }
      // Out of the way of the next search: whoever pins it need not say that it is in use.
      this.#streams.delete(room)
      this.#streams.set(room, stream)
      if (++looked === 1_000) return
    }
  }
}

function classOf (bytes: number): number {
  return bytes === 0 ? 0 : 32 - Math.clz32(bytes)
}
