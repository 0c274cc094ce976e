import { codes, type Code } from '../protocol/codes.js'
import { encodeFrame, type Packet } from '../protocol/packet.js'
import { parseCommand, type Command, type ErrorData, type InvalidFrame } from '../protocol/frames.js'
import { parseJson } from '../protocol/json.js'
import { Refusal } from '../errors/refusal.js'
import { after } from '../structures/timers.js'
import type { Flusher } from './flusher.js'
import type { Identity } from './identity.js'
import { NamedSet, type Named } from './named-set.js'
import { LINK_BUFFER, type Link, type LinkEvents, type Transport } from './link.js'
import { Outbox, type OutboxCounters } from './outbox.js'
import { PACE } from './pace.js'
import { TokenBucket, type Rate } from '../structures/token-bucket.js'

/** What a connection is handed from outside: it knows neither rooms nor the server. */
export interface ConnectionHost<H extends Named> {
  readonly flusher: Flusher
  readonly counters: OutboxCounters & { messagesIn: number, bytesIn: number }
  readonly outboxLimit: number
  readonly rate: Rate
  /** Something is about to be said to it, or its end: what it is to be offered by then is sent before. */
  onSaying? (connection: Connection<H>): void
  /** a command of the peer, in order of arrival */
  onCommand (connection: Connection<H>, command: Command, bytes: number): void
  /** what the peer sent was no command; counted, and answered by an `error` frame */
  onFault (connection: Connection<H>, fault: InvalidFrame): void
  /** the end, once: `reason` is a word of the code table, `left` when the peer said so, `gone` when it just went */
  onClosed (connection: Connection<H>, reason: string): void
  /** It was sent again what costs so much, in messages, on top of what asked for it. */
  onReplayed (connection: Connection<H>, cost: number): void
  /** nothing of its transport is left either: slots can be given back */
  onReleased (connection: Connection<H>): void
}

export interface ConnectionOptions {
  readonly id: string
  readonly address: string
  readonly identity: Identity
}

/** Why a link ended that we did not end: ws's own verdict on the peer's frames, or what the peer said. */
function reasonOf (code: number): string {
  switch (code) {
    case 1006: return 'gone'
    case 1002: case 1007: case 1008: return 'protocol'
    case 1009: return 'message_too_large'
    // A close frame is a farewell, whatever it says: pages that are left send 1001, `close()` without arguments sends
    // none.
    default: return 'left'
  }
}

/** One authenticated live link as the server knows it. */
export class Connection<H extends Named = Named> implements LinkEvents {
  // What each event needs comes first, to be in one line of the processor's cache.
  #outbox: Outbox | undefined
  #state: 'open' | 'closing' | 'closed' = 'open'
  readonly id: string
  readonly userId: string
  readonly address: string
  /** Unix milliseconds, to be shown */
  readonly openedAt = Date.now()
  /** by `performance.now()`, to measure with */
  readonly startedAt = performance.now()
  readonly rooms = new NamedSet<H>()
  /** joins under way, so that many at once do not pass the limit together */
  entering = 0
  /** what heartbeats need, moved by the one sweep */
  seenAt: number
  beatAt = 0
  isAwaited = false
  lagsSince = 0
  /** monotonic milliseconds at which the connection must end, for streams of limited age */
  endsAt = Number.POSITIVE_INFINITY
  /** milliseconds after which its client may come back, told while the server drains */
  retryAfter: number | undefined
  /** why it was ended by us */
  ending: Refusal | undefined
  bytesIn = 0
  /** bytes of its frames that wait to be handled, or are being handled */
  waiting = 0
  #bytesOut = 0
  /** round trip of the last heartbeat in milliseconds */
  latency: number | undefined
  #identity: Identity
  #link: Link | undefined
  readonly #host: ConnectionHost<H>
  #bucket: TokenBucket | undefined
  /** bytes sent again that have not made up a cost yet */
  #replayed = 0
  #onClosed: Array<() => void> | undefined
  #pongs: Map<string, (latency: number) => void> | undefined
  /** what was to be said between two polls: at most one frame for each room */
  #owed: Packet[] | undefined

  constructor (host: ConnectionHost<H>, { id, address, identity }: ConnectionOptions) {
    this.#host = host
    this.id = id
    this.address = address
    this.userId = identity.userId
    this.#identity = identity
    this.seenAt = performance.now()
  }

  get user (): unknown { return this.#identity.user }
  get identity (): Identity { return this.#identity }
  get isOpen (): boolean { return this.#state === 'open' }
  /** nothing of the transport is left: slots can be given back */
  get isClosed (): boolean { return this.#state === 'closed' }
  /** between two polls: nothing can be said until the next */
  get isParked (): boolean { return this.#link === undefined }
  get transport (): Transport { return this.#link?.transport ?? 'polling' }
  get outbox (): Outbox | undefined { return this.#outbox }
  /** bytes written to it, by all its links */
  get bytesOut (): number { return this.#bytesOut + (this.#outbox?.written ?? 0) }
  /** bytes that waited for it when it ended */
  get lag (): number { return this.#outbox?.left ?? 0 }
  get isReady (): boolean { return this.#outbox?.isReady ?? false }
  get isLagging (): boolean { return this.#outbox?.isLagging ?? false }

  /** Takes a link: once for a stream, again and again for a connection that polls. */
  attach (link: Link): void {
    this.#link = link
    this.#outbox = new Outbox(link, this.#host, this)
    link.attach(this)
    // A ping that came between two polls goes out with the next.
    if (link.transport === 'polling') for (const id of this.#pongs?.keys() ?? []) this.sendFrame({ type: 'ping', id })
    const owed = this.#owed
    this.#owed = undefined
    if (owed !== undefined) for (const packet of owed) this.send(packet)
  }

  /** Lets a finished poll go; the connection stays. */
  detach (): void {
    this.#bytesOut = this.bytesOut
    this.#outbox?.drop()
    this.#outbox = undefined
    this.#link = undefined
  }

  /** A fresh credential of the same user. */
  renew (identity: Identity): void { this.#identity = identity }

  /** @returns false while the link lags or is gone */
  send (packet: Packet, flush = 0): boolean {
    return this.#state === 'open' && this.#outbox !== undefined && this.#outbox.push(packet, flush)
  }

  sendFrame (frame: { type: string, room?: string | undefined, id?: string | undefined, data?: unknown }): void {
    this.#host.onSaying?.(this)
    this.send(encodeFrame(frame))
  }

  /** Of a poll: all that waits, counted as delivered because the caller writes it now. */
  take (): Packet[] {
    this.#host.onSaying?.(this)
    return this.#outbox?.take() ?? []
  }

  /** For what may not be missed: said between two polls, it goes out with the next. */
  sendSurely (frame: { type: string, room: string, data?: unknown }): void {
    if (this.isParked) (this.#owed ??= []).push(encodeFrame(frame))
    else this.sendFrame(frame)
  }

  sendError (data: ErrorData, id?: string, room?: string): void {
    this.sendFrame({ type: 'error', room, id, data })
  }

  drained (callback?: () => void): void {
    if (callback === undefined) {
      // Who takes what was written is alive.
      this.alive()
      this.#outbox?.drained()
    } else if (this.#outbox === undefined) callback()
    else this.#outbox.whenDrained(callback)
  }

  /** @returns 0, or the milliseconds until the next message is allowed; a peer that floods is cut */
  spend (now: number): number {
    this.#bucket ??= new TokenBucket(this.#host.rate, now)
    const wait = this.#bucket.take(now)
    if (wait > 0 && this.#bucket.isFlooded) this.close('rate_limited')
    return wait
  }

  /** Bytes of history and of `latest` values, which an opening or a join asked for. */
  replayed (bytes: number): void {
    // What a poll takes is charged with its answer.
    if (this.transport === 'polling') return
    this.#replayed += bytes
    const cost = Math.floor(this.#replayed / LINK_BUFFER)
    if (cost === 0) return
    this.#replayed %= LINK_BUFFER
    this.charge(cost)
    this.#host.onReplayed(this, cost)
  }

  /** The cost of an answer, above that of the message that asked for it. */
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
      command = { fault: `not acceptable JSON: ${(error as Error).message}` }
    }
    if ('fault' in command) this.#host.onFault(this, command)
    else this.#host.onCommand(this, command, bytes)
  }

  violation (message: string): void {
    this.close('protocol', message)
  }

  alive (now = performance.now()): void {
    if (this.isAwaited) {
      this.isAwaited = false
      this.latency = now - this.beatAt
    }
    this.seenAt = now
  }

  reply (bytes: Uint8Array): void {
    if (this.#state === 'open') this.#outbox?.reply(bytes)
  }

  /** Asks for a sign of life; `false` where the transport has none. */
  beat (): boolean {
    const bytes = this.#link?.beat?.()
    if (bytes === undefined) return false
    this.#outbox?.raw(bytes)
    return true
  }

  pong (payload: string): void {
    this.alive()
    if (payload === PACE) {
      this.lagsSince = 0
      this.#outbox?.taken(performance.now())
      return
    }
    this.#pongs?.get(payload)?.(performance.now())
  }

  /** The heartbeat's sweep finds it lagging. */
  look (now: number): void { this.#outbox?.look(now) }

  /** Resolves with the round trip in milliseconds, or `undefined` after `timeout` or when the connection ends. */
  ping (payload: string, timeout: number): Promise<number | undefined> {
    return new Promise((resolve) => {
      if (this.#state !== 'open') return resolve(undefined)
      const start = performance.now()
      const pongs = (this.#pongs ??= new Map())
      const settle = (at?: number): void => {
        clearTimeout(timer)
        pongs.delete(payload)
        resolve(at === undefined ? undefined : at - start)
      }
      const timer = after(settle, timeout)
      pongs.set(payload, settle)
      const bytes = this.#link?.beat?.(payload)
      if (bytes === undefined) this.sendFrame({ type: 'ping', id: payload })
      else this.#outbox?.raw(bytes)
    })
  }

  /** A reader that is too slow: its memory is freed at once, the close frame goes behind what the link already has. */
  cut (): void { this.#end('slow_consumer', undefined, false) }

  /** Ends the connection behind everything that is queued. */
  close (word: Code, message?: string): void { this.#end(word, message, true) }

  /** Ends it without a code of ours: the peer asked, or a stream is old enough and may come again. */
  finish (reason: 'left' | 'gone' | 'draining' = 'left'): void { this.#end(undefined, undefined, true, reason) }

  #end (
    word: Code | undefined,
    message: string | undefined,
    isFlushed: boolean,
    reason: string = word ?? 'left'
  ): void {
    if (isFlushed && this.isOpen) this.#host.onSaying?.(this)
    // What it was to be offered may have been too much for it.
    if (this.#state !== 'open') return
    if (word !== undefined) this.ending = new Refusal(word, { message })
    if (isFlushed) this.#outbox?.flush(true)
    this.#state = 'closing'
    const link = this.#link
    this.#outbox?.drop()
    this.#settle(reason)
    if (link !== undefined && this.ending !== undefined) this.#farewell(link, this.ending)
    link?.close(word === undefined ? 1000 : codes[word].close ?? 1000, message ?? word ?? '')
    // A connection that polls has no transport of its own that could say that it is closed.
    if (link === undefined || link.transport === 'polling') this.closed(1000)
  }

  /**
   * The last frame says why, alike on all transports: a stream has no close code, and the reason of one is too short
   * for a message. A poll answers it.
   */
  #farewell (link: Link, { data }: Refusal): void {
    if (link.transport === 'polling') return
    const packet = encodeFrame({ type: 'error', data })
    link.write(link.encode?.(packet) ?? packet.bytes)
  }

  /** Ends the transport without waiting for the peer's answer. */
  destroy (): void { this.#link?.destroy?.() }

  /** Tells the peer's own implementation when to come back, where its transport has a field for it. */
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

  #settle (reason: string): void {
    if (this.#pongs !== undefined) for (const settle of [...this.#pongs.values()]) settle(Number.NaN)
    this.#host.onClosed(this, reason)
  }

  /** Calls back once when nothing of the transport is left. */
  whenClosed (callback: () => void): void {
    if (this.#state === 'closed') callback()
    else (this.#onClosed ??= []).push(callback)
  }
}
