import type { Packet } from '../../protocol/packet.js'
import { keyOf } from '../../protocol/key.js'
import type { Position } from '../../protocol/position.js'
import { after } from '../../structures/timers.js'
import type { AdapterHost, HistoryPage, HistoryQuery } from '../adapter.js'
import { Undecodable } from './decode.js'
import { reentry, Stream, type StreamLimits, type Streams } from '../history/stream.js'

/** One event of a room as it came from the broker. */
export interface Arrival {
  readonly epoch: string
  readonly offset: number
  /** Offset of the event before it in this room, by which a hole is found. */
  readonly previous: number
  /** Id of the publication, so that its publisher on this node learns how many members were offered it. */
  readonly origin: string
  /** What it has in common with another publication of the same event; absent where the broker accepts none twice. */
  readonly identity?: string
  /** Characters that it takes while it waits for the events before it. */
  readonly size: number
  /** Whether it is no event: the room was cleared, and nothing before it is kept or resumed. */
  readonly isClear?: boolean
  /** @throws Undecodable */
  readonly packet: () => Packet
}

/** The place of a clear among the events of its room. */
export function clearOf ({ epoch, offset }: Position): Arrival {
  const packet = (): never => { throw new Undecodable('a clear is no event') }
  return { epoch, offset, previous: offset - 1, origin: '', size: 0, isClear: true, packet }
}

/** A former epoch, with the last offset that the present one shares with it. */
export interface Former extends Position {
  /**
   * Whether events after that offset were lost: a reader that stands in this epoch, or in one before it, has missed
   * some.
   */
  readonly isLossy?: boolean
}

/** A part of a room's stream, read from the broker. */
export interface Range {
  readonly epoch: string
  readonly top: number
  /** Offset before the oldest retained event. */
  readonly floor: number
  /** Former epochs, the newest first; each was followed by the one before it in this list. */
  readonly before: readonly Former[]
  /** Events after the requested offset, oldest first. */
  readonly events: readonly Arrival[]
  /** Whether the requested number of bytes ended it. */
  readonly isPart?: boolean
}

export interface TailOptions {
  readonly room: string
  readonly limits: StreamLimits
  /** Keeps the retained events, under one budget for all rooms. */
  readonly streams: Streams
  readonly host: Pick<AdapterHost, 'gap'>
  readonly deliver: (room: string, packet: Packet, origin: string) => void
  /**
   * Notes that this node delivers an event.
   *
   * @returns false for an event that it has delivered before
   */
  readonly isNew?: (room: string, identity: string) => boolean
  /**
   * Reads the broker.
   *
   * @param epoch the epoch in which this node stands
   */
  readonly read: (since: number, epoch: string) => Promise<Range>
  readonly onRepair: () => void
  /** Called when the broker keeps an event that this version cannot read. */
  readonly onUndecodable?: (error: Undecodable) => void
}

/**
 * Milliseconds for which an event that is known from a publish reply may be missing on the subscription before it is
 * fetched.
 */
const PATIENCE = 250
/** Milliseconds for which somebody who has heard more elsewhere waits for this node. */
const BEHIND = 5_000
/** Milliseconds between two attempts to read a broker that answered with an error. */
const RETRY = 1_000
/**
 * Events held back while a hole is read, and their characters; beyond either bound they are read from the broker too.
 */
const MAX_HELD = 1_000
const MAX_HELD_SIZE = 4_194_304

/**
 * Applies the one rule for positions of a former epoch. Such a position is valid when the present stream has everything
 * up to it, and when neither its epoch nor one between has lost anything behind it.
 *
 * @returns the offset up to which the epoch of the position and that of the range are the same; `undefined` where the
 *   epoch is unknown
 */
export function sharedBy (
  since: Position,
  { epoch, top, before }: Pick<Range, 'epoch' | 'top' | 'before'>
): { readonly offset: number, readonly isWhole: boolean } | undefined {
  if (since.epoch === epoch) return { offset: top, isWhole: since.offset <= top }
  let isLossy = false
  for (const former of before) {
    isLossy ||= former.isLossy === true
    if (former.epoch === since.epoch) {
      return { offset: former.offset, isWhole: !isLossy && since.offset <= former.offset }
    }
  }
  return undefined
}

/** @param onUndecodable called for each event that this version cannot read */
export function pageOf (
  range: Range,
  { since }: Pick<HistoryQuery, 'since'>,
  onUndecodable?: (error: Undecodable) => void
): HistoryPage {
  const { epoch } = range
  const top = { epoch, offset: range.top }
  const { events, floor } = decoded(range, onUndecodable)
  const part = range.isPart === true ? { isPart: true } : {}
  if (since === undefined) return { resumed: false, events, top, floor: { epoch, offset: floor }, ...part }
  const shared = sharedBy(since, range)
  const resumed = shared?.isWhole === true && since.offset >= floor
  return {
    resumed,
    events: resumed ? events : [],
    top,
    floor: reentry(since, shared?.offset, { ...range, floor }),
    ...(resumed ? part : {})
  }
}

/** Decodes the events. One that cannot be read counts as trimmed, so that no reader resumes over it without a gap. */
function decoded (
  { events, floor: from }: Range,
  onUndecodable: ((error: Undecodable) => void) | undefined
): { events: Packet[], floor: number } {
  let packets: Packet[] = []
  let floor = from
  for (const arrival of events) {
    try {
      packets.push(arrival.packet())
    } catch (error) {
      if (!(error instanceof Undecodable)) throw error
      onUndecodable?.(error)
      packets = []
      floor = Math.max(floor, arrival.offset)
    }
  }
  return { events: packets, floor }
}

/**
 * Follows the stream of a subscribed room on this node. Whatever the broker's subscription repeats, reorders or loses,
 * this class delivers events in offset order and each once. It reads a hole from the broker before it delivers a later
 * event, and what cannot be read becomes a gap.
 */
export class FollowedStream {
  readonly #options: TailOptions
  #stream: Stream | undefined
  #isRepairing = false
  #isClosed = false
  #held = new Map<string, Arrival>()
  /** Characters of the events held back, or more. */
  #heldSize = 0
  #hasDropped = false
  readonly #waiting = new Set<{ readonly offset: number, readonly settle: () => void }>()
  #expected = 0
  #timer: NodeJS.Timeout | undefined
  /** Time by `performance.now()` at which this room last heard from its broker. */
  heard = performance.now()

  constructor (options: TailOptions) {
    this.#options = options
  }

  get position (): Position | undefined { return this.#stream?.top }

  /**
   * Begins to follow: the subscription is open and `position` was read after that, so every later event will arrive or
   * leave a hole in the numbers.
   */
  open (position: Position): void {
    if (this.#isClosed || this.#stream !== undefined) return
    this.#restart(position.epoch, position.offset)
    this.#drain()
    this.#settle()
    if (this.#held.size > 0) this.repair()
  }

  close (): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#release()
    const { room, streams } = this.#options
    // The room may be followed again by now.
    if (this.#stream !== undefined && streams.peek(room) === this.#stream) streams.delete(room)
    this.#settle(true)
  }

  /**
   * @param isOrdered whether it came by the subscription, so that an event missing before it will not arrive any more
   */
  accept (arrival: Arrival, isOrdered: boolean): void {
    if (this.#isClosed) return
    if (this.#stream === undefined || this.#isRepairing) {
      this.#hold(arrival)
      return
    }
    const { epoch, offset, previous } = arrival
    const top = this.#stream.top.offset
    if (epoch !== this.#stream.epoch) {
      this.#hold(arrival)
      this.repair()
    } else if (offset > top && previous <= top) {
      // Only a new event proves that the subscription follows the broker's stream: events of another stream with the
      // same numbers would be dropped below.
      if (isOrdered) this.heard = performance.now()
      this.#deliver(arrival)
      if (this.#held.size > 0) this.#drain()
      if (this.#waiting.size > 0) this.#settle()
    } else if (offset > top) {
      this.#hold(arrival)
      if (isOrdered) this.repair()
      else this.#expect(offset)
    }
  }

  /** Compares with a position of the broker's stream. */
  check ({ epoch, offset }: Position): void {
    this.heard = performance.now()
    if (this.#stream === undefined) return
    if (epoch !== this.#stream.epoch) this.repair()
    else if (offset > this.#stream.top.offset) this.#expect(offset)
  }

  /** Resolves when the events up to `offset` have been delivered or are known to be lost, or after `patience` ms. */
  async reached (offset: number, patience: number): Promise<void> {
    if (this.#isClosed || (this.#stream !== undefined && this.#stream.top.offset >= offset)) return
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(waiting)
        resolve()
      }
      const timer = after(settle, patience)
      const waiting = { offset, settle }
      this.#waiting.add(waiting)
    })
  }

  /** Whether somebody has heard more of this epoch elsewhere than this node. */
  isBehind (heard: Position | undefined): heard is Position {
    const top = this.#stream?.top
    return top !== undefined && heard?.epoch === top.epoch && heard.offset > top.offset
  }

  /**
   * Resolves when this node has what somebody has heard elsewhere, as far as the broker has it, or after `BEHIND`: the
   * values that it shows before may be older than those that were seen there.
   *
   * @param top the broker's position of the room
   */
  async meet ({ offset }: Position, top: Position): Promise<void> {
    this.check(top)
    await this.reached(Math.min(offset, top.offset), BEHIND)
  }

  /** Returns retained events, if this node holds enough of them to answer. */
  read (query: HistoryQuery): HistoryPage | undefined {
    const stream = this.#stream
    if (stream === undefined) return undefined
    const { limits, streams } = this.#options
    streams.expire(stream, limits.ttl, performance.now())
    const { since, last, limit } = query
    if (since === undefined ? stream.length < Math.min(last ?? limit, limit) : !stream.covers(since)) return undefined
    return stream.read(query)
  }

  /** @throws Undecodable */
  #deliver (arrival: Arrival): void {
    const { room, limits, streams, deliver, host, isNew } = this.#options
    const { epoch, offset, identity, isClear } = arrival
    if (isClear === true) {
      streams.clear(this.#stream!, offset, performance.now())
      host.gap(room, { epoch, to: offset })
      return
    }
    const packet = arrival.packet()
    const from = this.#stream!.top.offset
    streams.append(room, this.#stream!, packet, limits, performance.now())
    // A broker that lost its data accepted this event a second time. Members that were here the first time have
    // received it, members that came later have not, and the node does not know which are which, so all are told of a
    // gap.
    if (identity !== undefined && isNew?.(room, identity) === false) host.gap(room, { epoch, from, to: offset })
    else deliver(room, packet, arrival.origin)
  }

  get heldSize (): number { return this.#heldSize }
  /** Number of those who wait for an event. */
  get waiting (): number { return this.#waiting.size }

  #release (): void {
    this.#held.clear()
    this.#heldSize = 0
  }

  #hold (arrival: Arrival): void {
    if (this.#held.size >= MAX_HELD || (this.#held.size > 0 && this.#heldSize + arrival.size > MAX_HELD_SIZE)) {
      this.#release()
      this.#hasDropped = true
    }
    this.#heldSize = this.#held.size === 0 ? arrival.size : this.#heldSize + arrival.size
    this.#held.set(keyOf(arrival.epoch, String(arrival.offset)), arrival)
  }

  #drain (): void {
    const stream = this.#stream!
    for (const arrival of [...this.#held.values()].sort((a, b) => a.offset - b.offset)) {
      if (arrival.epoch !== stream.epoch) continue
      const top = stream.top.offset
      if (arrival.offset > top && arrival.previous > top) return
      if (this.#held.delete(keyOf(arrival.epoch, String(arrival.offset)))) this.#heldSize -= arrival.size
      try {
        if (arrival.offset > top) this.#deliver(arrival)
      } catch (error) {
        if (!(error instanceof Undecodable)) throw error
        // Reading the missing part will show whether the broker has it.
        this.#options.onUndecodable?.(error)
      }
    }
  }

  #settle (isAll = false): void {
    const top = this.#stream?.top.offset ?? 0
    for (const { offset, settle } of this.#waiting) if (isAll || offset <= top) settle()
  }

  #expect (offset: number): void {
    this.#expected = Math.max(this.#expected, offset)
    if (this.#isRepairing) return
    this.#timer ??= after(() => {
      this.#timer = undefined
      if (this.#stream!.top.offset < this.#expected) this.repair()
    }, PATIENCE).unref()
  }

  #restart (epoch: string, offset: number): void {
    const { room, streams } = this.#options
    streams.delete(room)
    this.#stream = streams.pin(room, performance.now(), () => new Stream(epoch, offset))
  }

  /** Reads everything up to the broker's top. One repair runs at a time; it never rejects. */
  repair (): void {
    if (this.#isRepairing || this.#isClosed || this.#stream === undefined) return
    this.#isRepairing = true
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#repair().catch(() => {
      if (this.#isClosed) return
      this.#timer = after(() => {
        this.#timer = undefined
        this.#isRepairing = false
        this.repair()
      }, RETRY).unref()
    })
  }

  async #repair (): Promise<void> {
    this.#options.onRepair()
    for (;;) {
      // The events held back by now were accepted before the read begins, so the read contains them.
      this.#release()
      this.#hasDropped = false
      this.#expected = 0
      const range = await this.#options.read(this.#stream!.top.offset, this.#stream!.epoch)
      if (this.#isClosed) return
      this.heard = performance.now()
      const isDone = this.#apply(range)
      this.#drain()
      this.#settle()
      if (isDone && this.#held.size === 0 && !this.#hasDropped) break
    }
    this.#isRepairing = false
    // This offset was reported while the last read was under way.
    if (this.#expected > this.#stream!.top.offset) this.#expect(this.#expected)
  }

  /** @returns whether the end of the range is the broker's top */
  #apply (range: Range): boolean {
    const { room, host } = this.#options
    const { epoch, top, floor } = range
    const local = this.#stream!.top
    if (epoch !== local.epoch) {
      const former = sharedBy(local, range)
      const isWhole = former?.isWhole === true
      // The stream continues behind the part that both epochs share, or behind what this node has received of that
      // part.
      const to = former === undefined ? top : Math.min(local.offset, former.offset)
      this.#restart(epoch, to)
      host.gap(room, isWhole ? { epoch, from: to, to } : { epoch, to }, former?.offset)
      if (!isWhole) this.#settle(true)
      return false
    }
    if (local.offset < floor) {
      host.gap(room, { epoch, from: local.offset, to: floor })
      this.#restart(epoch, floor)
    }
    for (const arrival of range.events) {
      const before = this.#stream!.top.offset
      if (arrival.offset <= before) continue
      try {
        this.#deliver(arrival)
      } catch (error) {
        if (!(error instanceof Undecodable)) throw error
        this.#options.onUndecodable?.(error)
        host.gap(room, { epoch, from: before, to: arrival.offset })
        this.#restart(epoch, arrival.offset)
      }
    }
    const reached = this.#stream!.top.offset
    if (reached >= top) return true
    if (range.events.length > 0) return false
    // These events are neither there nor trimmed, so they are lost for good.
    host.gap(room, { epoch, from: reached, to: top })
    this.#restart(epoch, top)
    return true
  }
}
