import { codes, type Code, type EndReason } from '../protocol/codes.js'
import { encodeFrame, type Packet } from '../protocol/packet.js'
import { noJson, parseCommand, type Command, type ErrorData, type InvalidFrame } from '../protocol/frames.js'
import { parseJson } from '../protocol/json.js'
import type { ErrorFrame, LeftFrame, ServerFrame } from '../protocol/server-frames.js'
import { pooled } from '../protocol/websocket-frame.js'
import { isNearly } from '../errors/limit-warnings.js'
import { Refusal, type Why } from '../errors/refusal.js'
import { Beat } from './beat.js'
import type { Flusher } from './flusher.js'
import type { Identity } from './identity.js'
import { LastFrames } from './last-frames.js'
import { NamedSet, type Named } from './named-set.js'
import { LINK_BUFFER, type Link, type LinkEvents, type Transport } from './link.js'
import { Outbox, type OutboxCounters, type Passed } from './outbox.js'
import { LATE, PACE } from './pace.js'
import { Pings } from './pings.js'
import { TokenBucket, type Rate } from '../structures/token-bucket.js'

/** What a connection gets from outside. It knows neither rooms nor the server. */
export interface ConnectionHost<H extends Named> {
  readonly flusher: Flusher
  readonly counters: OutboxCounters & { messagesIn: number, bytesIn: number }
  readonly outboxLimit: number
  readonly rate: Rate
  /** Called before a frame is sent or the connection ends, so that the events that it is due by then are sent first. */
  onSaying? (connection: Connection<H>): void
  /** Handles the commands of the peer, in order of arrival. */
  onCommand (connection: Connection<H>, command: Command, bytes: number): void
  /** Handles a frame that is no command: it is counted, and answered by an `error` frame. */
  onFault (connection: Connection<H>, fault: InvalidFrame): void
  /** Called once at the end. */
  onClosed (connection: Connection<H>, reason: EndReason): void
  /** Tells that so much of the burst of its rate is used that somebody should look at it, though nothing is refused. */
  onSpent? (connection: Connection<H>, used: number): void
  /** Tells that events were replayed to the connection, at a cost in messages on top of the request for them. */
  onReplayed (connection: Connection<H>, cost: number): void
  /** Called when its transport is gone too, so that slots can be released. */
  onReleased (connection: Connection<H>): void
}

/** What a peer is told of a room that it is not in any more. */
type LastFrame = LeftFrame | (ErrorFrame & { readonly room: string })

export interface ConnectionOptions {
  readonly id: string
  readonly address: string
  readonly identity: Identity
}

/**
 * Names the reason for an end that the server did not begin: the verdict of `ws` on the peer's frames, or the peer's
 * goodbye.
 */
function reasonOf (code: number): EndReason {
  switch (code) {
    case 1006: return 'gone'
    case 1002: case 1007: case 1008: return 'protocol'
    case 1009: return 'message_too_large'
    // Any close frame is a goodbye, whatever its code: pages that are left send 1001, and `close()` without arguments
    // sends none.
    default: return 'left'
  }
}

const BY_APP: Why = { closedBy: 'app.rooms.close' }

/** Frames that are kept for a poll beside the last ones of rooms. */
const MAX_OWED = 16

/** One authenticated live link as the server knows it. */
export class Connection<H extends Named = Named> implements LinkEvents {
  // The fields that each event needs come first, so that they share one cache line of the processor.
  #outbox: Outbox | undefined
  #state: 'open' | 'closing' | 'closed' = 'open'
  readonly id: string
  readonly userId: string
  readonly address: string
  /** Unix milliseconds, for display. */
  readonly openedAt = Date.now()
  /** Time by `performance.now()`, for measurements. */
  readonly startedAt = performance.now()
  readonly rooms = new NamedSet<H>()
  /** Its place in the order in which the connections of this node were opened. */
  number = 0
  /** Joins under way, so that many at once cannot pass the limit together. */
  entering = 0
  /** State of the heartbeat, which its sweep updates. */
  readonly beat: Beat
  /** Milliseconds after which its client may reconnect, as it was told while the server drains. */
  retryAfter: number | undefined
  /** Why the server ended it. */
  ending: Refusal | undefined
  /** What it has passed, where it was cut because it read too slowly. */
  passed: Passed | undefined
  bytesIn = 0
  /** Bytes of its frames that wait to be handled or are being handled. */
  waiting = 0
  #bytesOut = 0
  #identity: Identity
  #link: Link | undefined
  readonly #host: ConnectionHost<H>
  #bucket: TokenBucket | undefined
  /** Bytes that were replayed and have not been charged yet. */
  #replayed = 0
  #onClosed: Array<() => void> | undefined
  #pings: Pings | undefined
  /** Questions, and what `onJoin` has sent, that no answer has taken along: at most `MAX_OWED`. */
  #owed: Packet[] | undefined
  /** Made for the first room that its polling peer is told to be out of. */
  #last: LastFrames | undefined

  constructor (host: ConnectionHost<H>, { id, address, identity }: ConnectionOptions) {
    this.#host = host
    this.id = id
    this.address = address
    this.userId = identity.userId
    this.#identity = identity
    this.beat = new Beat(this.startedAt)
  }

  get user (): unknown { return this.#identity.user }
  get identity (): Identity { return this.#identity }
  get isOpen (): boolean { return this.#state === 'open' }
  /** Whether the transport is gone, so that slots can be released. */
  get isClosed (): boolean { return this.#state === 'closed' }
  /** Whether it is between two polls, when no frame can be sent until the next. */
  get isParked (): boolean { return this.#link === undefined }
  get transport (): Transport { return this.#link?.transport ?? 'polling' }
  get outbox (): Outbox | undefined { return this.#outbox }
  /** Bytes written to it over all its links. */
  get bytesOut (): number { return this.#bytesOut + (this.#outbox?.written ?? 0) }
  /** Bytes that waited for it when it ended. */
  get lag (): number { return this.#outbox?.left ?? 0 }
  /** Milliseconds from the last heartbeat that was answered to its answer. */
  get latency (): number | undefined { return this.beat.latency }
  get isReady (): boolean { return this.#outbox?.isReady ?? false }
  get isLagging (): boolean { return this.#outbox?.isLagging ?? false }
  /** Bytes that the kernel has accepted from its link, as far as that is known. */
  get taken (): number { return this.#link?.taken ?? 0 }
  /** Whether it may be sent what it has missed; otherwise that waits until its outbox has drained. */
  get hasRoom (): boolean { return this.#outbox?.hasRoom ?? true }

  /** Whether it may be sent so many bytes of that. */
  hasRoomFor (bytes: number): boolean { return this.#outbox?.hasRoomFor(bytes) ?? true }

  /** Attaches a link: once for a stream, again for each poll of a connection that polls. */
  attach (link: Link): void {
    this.#link = link
    this.#outbox = new Outbox(link, this.#host, this)
    link.attach(this)
    // A stream begins with bytes, so its first comment is due a whole interval later.
    if (link.transport === 'sse') this.beat.sentAt = performance.now()
    // A ping that was asked for between two polls goes out with the next one.
    if (link.transport === 'polling') {
      for (const id of this.#pings?.payloads ?? []) this.sendFrame({ type: 'ping', id })
    }
    for (const packet of this.#last?.due((room) => this.rooms.get(room) !== undefined) ?? []) this.send(packet)
    if (this.#owed !== undefined) for (const packet of this.#owed) this.send(packet)
    if (this.retryAfter !== undefined) link.hurry?.()
  }

  /**
   * Tells a connection that polls that the server drains: the poll that waits, or the next one, is answered at once
   * with what its peer is owed, and ends it.
   *
   * @param retryAfter milliseconds after which its client may reconnect
   */
  lastPoll (retryAfter: number): void {
    this.retryAfter = retryAfter
    this.#link?.hurry?.()
  }

  /** Ends a connection whose last poll has not come or is not answered yet; that one is answered with what waits. */
  endPolls (): void {
    this.#link?.hurry?.(true)
    this.finish('draining')
  }

  /** Detaches a finished poll; the connection stays. */
  detach (): void {
    this.#bytesOut = this.bytesOut
    this.#outbox?.drop()
    this.#outbox = undefined
    this.#link = undefined
  }

  /** Takes a fresh credential of the same user. */
  renew (identity: Identity): void { this.#identity = identity }

  /** @returns false while the link lags or is gone */
  send (packet: Packet, flush = 0): boolean {
    return this.#state === 'open' && this.#outbox !== undefined && this.#outbox.push(packet, flush)
  }

  /** The same for what it has missed, see `Member`. */
  sendMissed (packet: Packet, flush: number): boolean {
    return this.#state === 'open' && this.#outbox !== undefined && this.#outbox.pushMissed(packet, flush)
  }

  sendFrame (frame: ServerFrame): void {
    this.#host.onSaying?.(this)
    this.send(encodeFrame(frame, undefined, pooled))
  }

  /** Takes all frames that wait, for a poll. They count as delivered, because the caller writes them now. */
  take (): Packet[] {
    this.#host.onSaying?.(this)
    this.#last?.told()
    this.#owed = undefined
    return this.#outbox?.take() ?? []
  }

  /** Sends a frame that the peer must not miss: one that polls gets it with each answer until it has heard one. */
  sendSurely (frame: LastFrame): void {
    if (this.transport !== 'polling') return this.sendFrame(frame)
    this.#host.onSaying?.(this)
    const packet = encodeFrame(frame)
    ;(this.#last ??= new LastFrames()).add(frame.room, packet)
    this.send(packet)
  }

  /** Rooms whose last frame the peer may not have heard. */
  get unheard (): Iterable<string> { return this.#last?.rooms ?? [] }

  /** Tells that the peer has heard the last answer. */
  heard (): void { this.#last?.heard() }

  /**
   * Sends a packet that waits for its peer's answer: one that polls gets it with the answer to this poll or the next.
   *
   * @returns whether it will be sent
   */
  hand (packet: Packet): boolean {
    if (!this.isOpen) return false
    const isKept = this.#keep(packet)
    if (this.isParked) return isKept
    this.#host.onSaying?.(this)
    this.send(packet)
    return true
  }

  /** Sends what is read from nowhere again: a peer that polls gets it with the answer to this poll or the next. */
  sendKept (packet: Packet): void {
    this.#keep(packet)
    this.send(packet)
  }

  /** What no answer has taken along yet. */
  get owed (): readonly Packet[] { return this.#owed ?? [] }

  /** Keeps a packet until an answer has taken it along, since a poll that is given up takes none along. */
  #keep (packet: Packet): boolean {
    if (this.transport !== 'polling') return false
    const owed = (this.#owed ??= [])
    return owed.length < MAX_OWED && owed.push(packet) > 0
  }

  sendError (data: ErrorData, id?: string, room?: string): void {
    this.sendFrame({ type: 'error', room, id, data })
  }

  drained (): void {
    // A peer that reads what was written is alive, also where the link is full again at once.
    this.alive()
    this.beat.lagsSince = 0
    this.#outbox?.drained()
  }

  /**
   * Calls back once, when the link no longer lags or is gone.
   *
   * @param isFirst whether before all who have had their turn
   */
  whenDrained (callback: () => void, isFirst?: boolean): void {
    if (this.#outbox === undefined) callback()
    else this.#outbox.whenDrained(callback, isFirst)
  }

  /** @returns 0, or the milliseconds until the next message is allowed; a peer that floods is disconnected */
  spend (now: number): number {
    this.#bucket ??= new TokenBucket(this.#host.rate, now)
    const wait = this.#bucket.take(now)
    if (wait === 0) {
      const { used } = this.#bucket
      if (isNearly(used, this.#host.rate.burst)) this.#host.onSpent?.(this, used)
    } else if (this.#bucket.isFlooded) this.close('rate_limited')
    return wait
  }

  /**
   * Spends from a bucket of its own for what `spend` has refused and what may not wait for it.
   *
   * @returns as `spend`
   */
  spendSpare (now: number): number {
    const spare = this.#bucket!.spare(now)
    const wait = spare.take(now)
    if (wait > 0 && spare.isFlooded) this.close('rate_limited')
    return wait
  }

  /** Counts bytes of history and of `latest` values that were sent for an opening or a join. */
  replayed (bytes: number): void {
    // The answer of a poll is charged as a whole.
    if (this.transport === 'polling') return
    this.#replayed += bytes
    const cost = Math.floor(this.#replayed / LINK_BUFFER)
    if (cost === 0) return
    this.#replayed %= LINK_BUFFER
    this.charge(cost)
    this.#host.onReplayed(this, cost)
  }

  /** Charges the cost of an answer, above that of the message that asked for it. */
  charge (cost: number): void {
    const now = performance.now()
    this.#bucket ??= new TokenBucket(this.#host.rate, now)
    this.#bucket.charge(now, cost)
  }

  control (): boolean {
    if (this.#state !== 'open') return false
    const now = performance.now()
    this.alive(now)
    return this.spend(now) === 0
  }

  text (text: string, bytes: number): void {
    if (this.#state !== 'open') return
    const { counters } = this.#host
    counters.messagesIn++
    counters.bytesIn += bytes
    this.bytesIn += bytes
    this.alive()
    let command: Command | InvalidFrame
    try {
      command = parseCommand(parseJson(text))
    } catch (error) {
      command = noJson(error)
    }
    if ('fault' in command) this.#host.onFault(this, command)
    else this.#host.onCommand(this, command, bytes)
  }

  violation (message: string): void {
    this.close('protocol', message)
  }

  alive (now = performance.now()): void { this.beat.seen(now) }

  /**
   * Sets the time by `performance.now()` at which the connection ends, in place of an earlier one; `Infinity` lets it
   * live.
   */
  lastUntil (moment: number): void { this.beat.endsAt = moment }

  reply (bytes: Uint8Array): void {
    if (this.#state === 'open') this.#outbox?.reply(bytes)
  }

  /** Asks the peer for a sign of life; `false` where the transport cannot. */
  sendBeat (): boolean {
    const bytes = this.#link?.beat?.()
    if (bytes === undefined) return false
    this.#outbox?.raw(bytes)
    return true
  }

  pong (payload: string, now = performance.now()): void {
    this.alive(now)
    if (payload === '') this.beat.answered(now)
    else if (payload === PACE) {
      this.beat.lagsSince = 0
      this.#outbox?.taken(now)
    } else if (payload === LATE) {
      // It has read a mark, however late.
      this.beat.lagsSince = 0
      this.#outbox?.late(now)
    } else this.#pings?.answered(payload)
  }

  /** Called by the heartbeat's sweep while the link lags. */
  look (now: number): void { this.#outbox?.look(now) }

  /** Resolves with the round trip in milliseconds, or with `undefined` after `timeout` or when the connection ends. */
  ping (payload: string, timeout: number): Promise<number | undefined> {
    if (this.#state !== 'open') return Promise.resolve(undefined)
    this.#pings ??= new Pings()
    return this.#pings.ask(payload, timeout, () => {
      const bytes = this.#link?.beat?.(payload)
      if (bytes === undefined) this.sendFrame({ type: 'ping', id: payload })
      else this.#outbox?.raw(bytes)
    })
  }

  /**
   * Ends a reader that is too slow: its memory is freed at once, and the close frame follows what the link already has.
   */
  cut (passed: Passed): void {
    this.passed ??= passed
    this.#end('slow_consumer', undefined, false)
  }

  /** Ends the connection behind everything that is queued. */
  close (word: Code, message?: string): void { this.#end(word, message, true) }

  /** Ends it as `close` does, for the application: the log then says who has ended it. */
  closeForApp (word: Code, message?: string): void { this.#end(word, message, true, word, BY_APP) }

  /** Ends it without a code of the server: the peer asked for it, or a stream has reached its age and may reconnect. */
  finish (reason: 'left' | 'gone' | 'draining' = 'left'): void { this.#end(undefined, undefined, true, reason) }

  #end (
    word: Code | undefined,
    message: string | undefined,
    isFlushed: boolean,
    reason: EndReason = word ?? 'left',
    why?: Why
  ): void {
    if (isFlushed && this.isOpen) this.#host.onSaying?.(this)
    // The events that were due may have overflowed its outbox and ended it already.
    if (this.#state !== 'open') return
    if (word !== undefined) this.ending = new Refusal(word, { message, why })
    if (isFlushed) this.#outbox?.flush(true)
    this.#state = 'closing'
    const link = this.#link
    this.#outbox?.drop()
    this.#settle(reason)
    if (link !== undefined && this.ending !== undefined) this.#farewell(link, this.ending)
    link?.close(word === undefined ? 1000 : codes[word].close ?? 1000, message ?? word ?? '')
    // A connection that polls has no transport of its own that could report its close.
    if (link === undefined || link.transport === 'polling') this.closed(1000)
  }

  /**
   * Sends the reason as the last frame, alike on all transports: a stream has no close code, and a close frame's reason
   * is too short for a message. The answer of a poll tells it instead.
   */
  #farewell (link: Link, { data }: Refusal): void {
    if (link.transport === 'polling') return
    const packet = encodeFrame({ type: 'error', data })
    link.write(link.encode?.([packet]) ?? packet.bytes)
  }

  /** Ends the transport without waiting for the peer's answer. */
  destroy (): void { this.#link?.destroy?.() }

  /** Tells the peer's own implementation when to reconnect, where its transport has a field for it. */
  adviseRetry (milliseconds: number): void {
    const bytes = this.#link?.retryAdvice?.(milliseconds)
    if (bytes !== undefined) this.#outbox?.raw(bytes)
  }

  closed (code: number): void {
    if (this.#state === 'closed') return
    const wasOpen = this.#state === 'open'
    this.#state = 'closed'
    if (wasOpen) {
      this.#outbox?.drop()
      this.#settle(reasonOf(code))
    }
    this.#host.onReleased(this)
    const waiting = this.#onClosed
    this.#onClosed = undefined
    if (waiting !== undefined) for (const callback of waiting) callback()
  }

  #settle (reason: EndReason): void { this.#host.onClosed(this, reason) }

  /** Tells those who have pinged it that no answer will come. */
  endPings (): void { this.#pings?.end() }

  /** Calls back once, when the transport is gone. */
  whenClosed (callback: () => void): void {
    if (this.#state === 'closed') callback()
    else (this.#onClosed ??= []).push(callback)
  }
}
