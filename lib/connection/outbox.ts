import type { Packet } from '../protocol/packet.js'
import { Backlog } from './backlog.js'
import type { Batch } from './batch.js'
import type { Flusher } from './flusher.js'
import { LINK_BUFFER, type Link } from './link.js'
import { isPaced, PACE, Pace } from './pace.js'

/** The columns of the ledger that move with a connection's outbox; `Ledger` says what each means. */
export interface OutboxCounters {
  meant: number
  /** Events that wait in outboxes; frames that wait, the events among them included; and their bytes. */
  queued: number
  waiting: number
  waitingBytes: number
  delivered: number
  resumed: number
  conflated: number
  dropped: number
  gone: number
  framesOut: number
  bytesOut: number
  writes: number
}

/** The option that a slow reader has passed, and its value in bytes or milliseconds. */
export interface Passed {
  readonly limit: 'limits.outbox' | 'timeouts.write' | 'heartbeat' | 'drain.timeout'
  readonly value: number
}

/** Is told when the bound is passed. */
export interface OutboxOwner { cut (passed: Passed): void }

/** What all outboxes share. */
export interface OutboxHost {
  readonly flusher: Flusher
  readonly counters: OutboxCounters
  /** Bytes that may wait in one outbox. */
  readonly outboxLimit: number
}

/** Bytes of a write that are copied, so that a ping behind them leaves in the same one. */
const SMALL = 16_384

/** Answers to control frames that are kept in one turn, or while a frame is being compressed. */
const MAX_REPLIES = 16

/**
 * The bounded queue of frames that wait to be written to one connection. While the link keeps up it is a pointer to the
 * sequence of this turn; while the link lags it is a backlog. Above `outboxLimit` bytes it tells its owner, which cuts
 * the connection.
 */
export class Outbox {
  readonly #link: Link
  readonly #host: OutboxHost
  #batch: Batch | undefined
  #isClosed = false
  /** Whether the link is full, or enough is on its way to a slow reader. */
  #isLagging = false
  #isFull = false
  /** Made for the first `latest` value, so that idle connections have none. */
  #pace: Pace | undefined
  #isDue = false
  #isHeld = false
  /** Milliseconds of the shortest window that the batch waits for, 0 for none. */
  #window = 0
  /** Whether the batch waits for a window, so that the newest value of each key is enough. */
  #isGathered = false
  /** Heartbeats and pings behind a frame that is being compressed. */
  #pings: Uint8Array[] | undefined
  /** Answers to control frames, which are written at the end of the turn. */
  #replies: Uint8Array[] | undefined
  readonly #owner: OutboxOwner
  #backlog: Backlog | undefined
  #waiters: Array<() => void> | undefined
  /** Number of those among them that come first. */
  #firsts = 0
  /** Bytes given to the link. */
  written = 0
  /** Bytes that waited when it was dropped. */
  left = 0

  constructor (link: Link, host: OutboxHost, owner: OutboxOwner) {
    this.#link = link
    this.#host = host
    this.#owner = owner
  }

  get bytes (): number { return (this.#batch?.size ?? 0) + (this.#backlog?.bytes ?? 0) }
  get frames (): number { return (this.#batch?.count ?? 0) + (this.#backlog?.count ?? 0) }
  /** Events that wait: the `queued` column of the ledger. */
  get events (): number {
    return (this.#batch === undefined ? 0 : this.#batch.live + this.#batch.replayed) + (this.#backlog?.events ?? 0)
  }

  get isReady (): boolean { return !this.#isClosed && !this.#isLagging && this.#link.isWritable === true }
  get isLagging (): boolean { return this.#isLagging }
  /** Whether so little waits for a link that lags, or for a poll, that what its peer has missed may join it. */
  get hasRoom (): boolean { return this.#backlog === undefined || this.#backlog.bytes < LINK_BUFFER }

  /** Whether a frame of what its peer has missed may join what waits. One that is larger than all may be has to go. */
  hasRoomFor (bytes: number): boolean {
    if (this.#backlog === undefined) return true
    const { outboxLimit } = this.#host
    return this.hasRoom && (bytes > outboxLimit || this.#backlog.bytes + bytes <= outboxLimit)
  }

  /**
   * @param flush milliseconds that the frame may wait for others; a frame without such a window takes along
   *   everything before it
   * @returns false while the link lags; a reader of history then waits for `drained`
   */
  push (packet: Packet, flush = 0): boolean {
    if (this.#isClosed) return false
    const { counters } = this.#host
    if (packet.event !== undefined) counters.meant++
    if (this.#isLagging || this.#link.pending !== undefined) return this.#wait(packet, flush)
    if (packet.event !== undefined) counters.queued++
    counters.waiting++
    counters.waitingBytes += packet.bytes.length
    if (flush > 0) this.#isGathered = true
    this.#batch = this.#isGathered
      ? this.#host.flusher.gather(packet, this.#batch)
      : this.#batch?.add(packet) ?? this.#host.flusher.begin(packet)
    if (this.#batch.size > LINK_BUFFER && this.#thin(this.#batch).size > LINK_BUFFER) {
      this.flush()
      // Compression has fallen behind, so the frames that wait for it go out uncompressed.
      if (this.#isHeld && this.#batch.size > this.#host.outboxLimit / 4) this.flush(true)
    } else if (flush > 0) {
      if (!this.#isDue && (this.#window === 0 || flush < this.#window)) {
        this.#window = flush
        this.#host.flusher.later(this, flush)
      }
    } else if (!this.#isDue) {
      this.#isDue = true
      this.#host.flusher.soon(this)
    }
    return !this.#isLagging
  }

  /**
   * The same for an event that the peer has missed. A poll waits with it as long as it would have waited if it had been
   * there; clocks of nodes that differ make that longer by no more than the window.
   */
  pushMissed (packet: Packet, flush: number): boolean {
    if (flush === 0 || this.#link.pending === undefined) return this.push(packet)
    const age = Date.now() - (packet.event?.timestamp ?? 0)
    return this.push(packet, Math.min(flush, Math.max(0, flush - age)))
  }

  /**
   * Writes bytes that are no packet (a control frame, a comment) behind everything queued, which may still have to be
   * compressed; skipped while the link lags.
   */
  raw (bytes: Uint8Array): void {
    if (this.#isClosed || this.#isLagging) return
    this.flush()
    if (this.#isLagging) return
    // A heartbeat that is not sent would end a connection whose peer had nothing to answer.
    if (this.#batch !== undefined) (this.#pings ??= []).push(bytes)
    else this.#write(bytes)
  }

  /**
   * Queues the answer to a control frame behind everything queued, in one write with the others that wait. Beyond 16
   * the newest replaces the one before it (RFC 6455 5.5.3). Skipped while the link lags.
   */
  reply (bytes: Uint8Array): void {
    if (this.#isClosed || this.#isLagging) return
    if (this.#replies === undefined) this.#replies = [bytes]
    else if (this.#replies.length < MAX_REPLIES) this.#replies.push(bytes)
    else this.#replies[MAX_REPLIES - 1] = bytes
    if (this.#isDue) return
    this.#isDue = true
    this.#host.flusher.soon(this)
  }

  #writeControls (): void {
    const controls = this.#pings?.concat(this.#replies ?? []) ?? this.#replies ?? []
    this.#pings = this.#replies = undefined
    if (!this.#isLagging) this.#write(controls.length === 1 ? controls[0]! : Buffer.concat(controls))
  }

  /**
   * Writes what waits for the end of the turn.
   *
   * @param isLast whether this is the last flush: a frame that is still being compressed then goes out uncompressed
   */
  flush (isLast = false): void {
    this.#isDue = false
    this.#window = 0
    this.#flushBatch(isLast)
    // What is still being compressed goes first.
    if (this.#batch !== undefined) return
    if (this.#pings !== undefined || this.#replies !== undefined) this.#writeControls()
  }

  #flushBatch (isLast: boolean): void {
    if (this.#batch === undefined || this.#isClosed || (this.#isHeld && !isLast)) return
    const batch = this.#thin(this.#batch)
    const { compressor } = this.#link
    let bytes: Uint8Array
    if (this.#link.encode !== undefined) bytes = this.#link.encode(batch.packets)
    else if (compressor === undefined || isLast) bytes = this.#bytesOf(batch)
    else {
      const made = batch.compressed(compressor)
      if (made instanceof Promise) {
        this.#hold(made)
        return
      }
      bytes = made
    }
    this.#batch = undefined
    this.#isGathered = false
    this.#waits(-batch.count, -batch.size, -batch.live - batch.replayed)
    this.#count(batch.count, batch.live, batch.replayed)
    if (batch.latest > 0) this.#begin()
    this.#write(bytes)
  }

  /** All frames as one write, in memory of their own where they have to wait in the link. */
  #bytesOf (batch: Batch): Uint8Array {
    const { bytes } = batch
    if (this.#link.isIdle !== false) return bytes
    batch.detach()
    return batch.bytes
  }

  /** Returns what a window has gathered, without the values that were replaced within it. */
  #thin (batch: Batch): Batch {
    if (!this.#isGathered || batch.latest < 2) return batch
    const { newest } = batch
    const replaced = batch.count - newest.count
    this.#host.counters.conflated += replaced
    this.#waits(-replaced, newest.size - batch.size, -replaced)
    this.#batch = newest
    return newest
  }

  /** Holds everything back until a frame has been compressed off the event loop. */
  #hold (made: Promise<unknown>): void {
    this.#isHeld = true
    void made.then(() => {
      this.#isHeld = false
      this.flush()
    })
  }

  #encode (packets: readonly Packet[]): Uint8Array {
    const { compressor } = this.#link
    if (this.#link.encode !== undefined) return this.#link.encode(packets)
    if (compressor !== undefined) return Buffer.concat(packets.map((packet) => compressor.ready(packet)))
    return packets.length === 1 ? packets[0]!.bytes : Buffer.concat(packets.map(({ bytes }) => bytes))
  }

  #write (bytes: Uint8Array): void {
    const pace = this.#pace?.isOn === true ? this.#pace : undefined
    const now = pace === undefined ? 0 : performance.now()
    const sign = pace === undefined ? undefined : this.#sign(pace, pace.add(bytes.length, now), now)
    this.#host.counters.writes++
    this.#host.counters.bytesOut += bytes.length
    this.written += bytes.length
    // One write costs the kernel more than the copy does.
    const isTaken = sign === undefined || bytes.length > SMALL
      ? this.#link.write(bytes)
      : this.#link.write(Buffer.concat([bytes, sign]))
    if (!isTaken) this.#isLagging = this.#isFull = true
    if (sign !== undefined && bytes.length > SMALL) this.#link.write(sign)
    if (pace?.isAhead(now) === true) this.#isLagging = true
  }

  #begin (): void {
    const { transport } = this.#link
    this.#pace ??= new Pace(transport === 'sse' ? 'sse' : 'websocket')
    const now = performance.now()
    if (this.#pace.begin(now)) this.#tell(this.#pace, 'ping', now)
  }

  /** Returns the bytes that ask what the peer has read, or mark what it reads with the time. */
  #sign (pace: Pace, kind: 'ping' | 'mark' | undefined, now: number): Uint8Array | undefined {
    if (kind === undefined) return undefined
    const bytes = kind === 'ping' ? this.#link.beat?.(PACE) : this.#link.mark?.(now)
    if (bytes === undefined) pace.end()
    return bytes
  }

  #tell (pace: Pace, kind: 'ping' | 'mark' | undefined, now: number): void {
    const bytes = this.#sign(pace, kind, now)
    if (bytes !== undefined) this.#link.write(bytes)
  }

  /** Tells that the peer has read everything up to the ping. */
  taken (now: number): void {
    const pace = this.#pace
    if (pace === undefined) return
    pace.taken(now)
    if (this.#isClosed) return
    // What was written behind the ping may be enough for the next one.
    if (pace.isOn) this.#tell(pace, pace.add(0, now), now)
    if (!this.#isFull && !pace.isAhead(now)) this.#resume()
  }

  /** Tells that the peer reads late, so that later frames wait until it has caught up. */
  late (now: number): void {
    if (this.#isClosed || this.#pace === undefined) return
    if (this.#pace.late(now)) this.#tell(this.#pace, 'ping', now)
    if (this.#pace.isAhead(now)) this.#lag()
  }

  /**
   * Lets later frames wait, and in front of them those that wait for a window or for their compression: written after
   * the backlog, they would be out of order.
   */
  #lag (): void {
    this.#isLagging = true
    const batch = this.#batch
    if (batch === undefined) return
    this.#batch = undefined
    this.#isGathered = false
    const backlog = this.#backlog ??= new Backlog()
    for (const packet of batch.packets) if (backlog.push(packet) === 'conflated') this.#host.counters.conflated++
    this.#waits(backlog.count - batch.count, backlog.bytes - batch.size, backlog.events - batch.live - batch.replayed)
  }

  #waits (frames: number, bytes: number, events: number): void {
    const { counters } = this.#host
    counters.waiting += frames
    counters.waitingBytes += bytes
    counters.queued += events
  }

  #count (frames: number, live: number, replayed: number): void {
    this.#host.counters.framesOut += frames
    this.#host.counters.delivered += live
    this.#host.counters.resumed += replayed
  }

  #wait (packet: Packet, flush: number): boolean {
    const isPolled = this.#link.pending !== undefined
    if (packet.event?.delivery === 'volatile' && !isPolled) {
      this.#host.counters.dropped++
      return false
    }
    const backlog = this.#backlog ??= new Backlog()
    const { count, bytes, events } = backlog
    if (backlog.push(packet) === 'conflated') this.#host.counters.conflated++
    this.#waits(backlog.count - count, backlog.bytes - bytes, backlog.events - events)
    // A single frame may be larger, the whole of a text: it is not counted against those that wait with it.
    const { outboxLimit } = this.#host
    if (backlog.larger === 0 && packet.bytes.length > outboxLimit) backlog.larger = packet.bytes.length
    if (backlog.bytes - backlog.larger > outboxLimit && backlog.count > 1) {
      this.#owner.cut({ limit: 'limits.outbox', value: outboxLimit })
    } else if (isPolled) this.#link.pending(this.#backlog.bytes < LINK_BUFFER ? flush : 0)
    return isPolled && this.#backlog !== undefined && this.#backlog.bytes < LINK_BUFFER
  }

  /** Called from time to time while the link lags, because over SSE the sign may never come. */
  look (now: number): void {
    if (this.#link.transport === 'sse' && this.#pace?.giveUp(now) === true && !this.#isFull) this.#resume()
  }

  /** Tells that the link has room again. */
  drained (): void {
    this.#isFull = false
    if (this.#pace?.isAhead(performance.now()) !== true) this.#resume()
  }

  #resume (): void {
    if (!this.#isLagging || this.#isClosed) return
    this.#isLagging = false
    while (this.#backlog !== undefined && !this.#isLagging) {
      const packets = this.#shift(this.#backlog, this.#pace?.room ?? LINK_BUFFER)
      if (packets.length === 0) break
      this.#countPackets(packets)
      if (packets.some(isPaced)) this.#begin()
      this.#write(this.#encode(packets))
    }
    if (!this.#isLagging) this.#wake()
  }

  /** Takes all frames that wait, for a poll. They count as delivered, because the caller writes them now. */
  take (): Packet[] {
    const packets = this.#backlog === undefined ? [] : this.#shift(this.#backlog, Number.POSITIVE_INFINITY)
    this.#countPackets(packets)
    for (const { bytes } of packets) this.written += bytes.length
    return packets
  }

  #shift (backlog: Backlog, most: number): Packet[] {
    const { count, bytes, events } = backlog
    const packets = backlog.shift(most)
    if (backlog.larger > 0 && packets.some((packet) => packet.bytes.length >= backlog.larger)) backlog.larger = 0
    this.#waits(backlog.count - count, backlog.bytes - bytes, backlog.events - events)
    if (backlog.count === 0) this.#backlog = undefined
    return packets
  }

  #countPackets (packets: readonly Packet[]): void {
    let live = 0
    let replayed = 0
    for (const { event, isReplay } of packets) {
      if (event === undefined) continue
      if (isReplay) replayed++
      else live++
    }
    this.#count(packets.length, live, replayed)
  }

  /**
   * Calls back once, when the link no longer lags or the outbox is closed.
   *
   * @param isFirst whether before all who have had their turn
   */
  whenDrained (callback: () => void, isFirst = false): void {
    const waiters = this.#waiters ??= []
    if (isFirst) waiters.splice(this.#firsts++, 0, callback)
    else waiters.push(callback)
  }

  #wake (): void {
    const waiters = this.#waiters
    this.#waiters = undefined
    this.#firsts = 0
    if (waiters !== undefined) for (const waiter of waiters) waiter()
  }

  /** Drops everything that waits; after that nothing is written. */
  drop (): void {
    if (this.#isClosed) return
    this.#host.counters.gone += this.events
    this.left = this.bytes
    this.#waits(-this.frames, -this.bytes, -this.events)
    this.#isClosed = true
    this.#batch = this.#backlog = this.#pings = this.#replies = undefined
    this.#wake()
  }
}
