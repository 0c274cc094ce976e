import type { Packet } from '../protocol/packet.js'

/** Whether a packet may be joined with those behind it while it waits, so that a slow reader is sent less. */
export function isPaced (packet: Packet | undefined): boolean {
  const delivery = packet?.event?.delivery
  return delivery === 'latest' || delivery === 'append'
}

/** Payload of the ping whose answer proves that the peer has read everything before it. */
export const PACE = 'pace'
/** Id of the `pong` by which the client library tells over SSE that the marks of its stream come late. */
export const LATE = 'late'

/** Bytes that may be unread on a link that nothing is known of. */
const AHEAD = 4_096
/** The largest bound, on a fast link: beyond it the link's own buffers tell when to wait. */
const MOST = 131_072
/**
 * The smallest bound, on the slowest link. Over SSE each answer is a request of some hundred bytes, so there are fewer.
 */
const LEAST = { websocket: 1_024, sse: 2_048 } as const
/** Milliseconds that bytes wait on the way at most where the link is fast, and about as many on a slow one. */
const FAST = 200
const TARGET = 500
/** How much more than that one write of what has waited may be. */
const ROUND = 4
/** Milliseconds beyond the round trip after which an answer is late: values wait for it from then on. */
const PATIENCE = 500
/** Milliseconds of a round trip that are not taken for a queue on the way. */
const FAR = 1_000
/** A reader is asked once in so many milliseconds if it has been sent so many bytes. */
const EVERY = 1_000
const SOME = 512
/**
 * Milliseconds between two marks, unless so many bytes as may be on the slowest link are between them. On a link that
 * slows down a mark comes late itself, so one a second is too few.
 */
const MARKS = 150
/** Milliseconds after which an answer that may get lost counts as lost. */
const LOST = 10_000

/**
 * Bounds how much may be on its way to a reader of `latest` values. The buffers between here and a slow reader hold
 * megabytes, and their content is minutes old when it is read. So a ping behind the values asks what the peer has read;
 * values too far ahead of that wait here, where the newest replaces older ones. The bound is what the link carries in
 * half a second, by the time that the last answer took; an answer that is late is a reason to wait as well, so that a
 * link that becomes slow is noticed before megabytes are on it. A fast reader gets a ping a second, or one in 64 KiB;
 * over SSE one in 64 KiB, and marks.
 */
export class Pace {
  /** Whether `latest` values have been written since the last answer. */
  isOn = false
  /** Time of the ping by `performance.now()`; 0 when no answer is awaited. */
  #askedAt = 0
  /** Time of the ping or of what the peer has said since. */
  #heardAt = 0
  /** Time of the last ping or answer, and of the last mark. */
  #last = Number.NEGATIVE_INFINITY
  #markedAt = Number.NEGATIVE_INFINITY
  /** Bytes behind the last mark. */
  #unmarked = 0
  /** Unread bytes before the ping, and behind it. */
  #asked = 0
  #bytes = 0
  /** Time since which those before the ping were written, and those behind it. */
  #askedSince = 0
  #since = 0
  /** Whether the peer has said, since the ping, that it reads late. */
  #isLate = false
  #most = AHEAD
  /** Shortest time of an answer in milliseconds: the round trip without a queue. */
  #base = Number.POSITIVE_INFINITY
  readonly #least: number
  readonly #isMarked: boolean
  #isSure: boolean

  /**
   * @param transport over a WebSocket the peer answers each ping (RFC 6455 5.5.2). Over SSE only the client library
   *   does, by POST, so nothing waits for a reader that has never answered. As a POST a second would cost too much, the
   *   stream is marked with the time instead, and the client library tells when the marks come late.
   */
  constructor (transport: 'websocket' | 'sse') {
    this.#least = LEAST[transport]
    this.#isMarked = transport === 'sse'
    this.#isSure = !this.#isMarked
  }

  /** @returns whether to send a ping first, by which the round trip is known before values fill the link */
  begin (now: number): boolean {
    this.isOn = true
    if (this.#isMarked || this.#last > 0) return false
    this.#ask(now)
    return true
  }

  end (): void {
    this.isOn = false
    this.#forget()
  }

  #forget (): void {
    this.#askedAt = this.#asked = this.#bytes = 0
    this.#isLate = false
  }

  /**
   * Counts written bytes.
   *
   * @returns what to send behind them
   */
  add (bytes: number, now: number): 'ping' | 'mark' | undefined {
    if (this.#bytes === 0) this.#since = now
    this.#bytes += bytes
    this.#unmarked += bytes
    if (this.#askedAt === 0 && this.#bytes >= this.#most / 2) {
      this.#ask(now)
      return 'ping'
    }
    if (this.#isMarked) {
      // Where so little may be on its way, pings tell soon enough.
      if (this.#most <= AHEAD) return undefined
      if (now - this.#markedAt < MARKS && this.#unmarked < this.#least) return undefined
      this.#markedAt = now
      this.#unmarked = 0
      return 'mark'
    }
    if (this.#askedAt !== 0) return undefined
    if (now - this.#last < EVERY || this.#bytes < SOME) return undefined
    this.#ask(now)
    return 'ping'
  }

  #ask (now: number): void {
    this.#askedAt = this.#heardAt = this.#last = now
    this.#asked = this.#bytes
    this.#askedSince = this.#since
    this.#bytes = 0
  }

  /** Whether too much is on its way, or what is on its way takes too long. */
  isAhead (now: number): boolean {
    return this.#isSure && this.#askedAt !== 0 && (
      this.#isLate || this.#asked + this.#bytes >= this.#most || now - this.#askedAt > this.#trip + PATIENCE
    )
  }

  get #trip (): number { return Math.min(this.#base, FAR) }

  /**
   * Bytes of one write of what has waited: what the link carries in two seconds, so that as many values as can leave
   * when they are newest. `undefined` for as many as the link accepts.
   */
  get room (): number | undefined {
    return this.#isSure && this.#most < MOST ? Math.min(this.#most * ROUND, MOST / 2) : undefined
  }

  taken (now: number): void {
    this.#isSure = true
    if (this.#askedAt === 0) return
    const took = now - this.#askedAt
    this.#base = Math.min(this.#base, took)
    const queued = took - this.#trip
    // Some of the bytes may have been read before the ping went out, so they count for the whole time.
    if (queued > FAST || this.#isLate) {
      const rate = this.#asked / Math.max(1, this.#askedAt - this.#askedSince + queued)
      this.#most = Math.min(MOST, Math.max(this.#least, rate * TARGET))
    } else this.#most = Math.min(MOST, this.#most * 2)
    // The bytes behind the ping are still on their way.
    this.#askedAt = this.#asked = 0
    this.#isLate = false
    this.#last = now
    this.isOn = this.#bytes > 0
  }

  /**
   * Tells that what the peer reads is late. How much of it is unread is not known, as marks are not answered, so that
   * all waits until the peer has read up to a ping.
   *
   * @returns whether to send that ping, where none is on its way
   */
  late (now: number): boolean {
    this.#isSure = this.#isLate = true
    this.#heardAt = now
    if (this.#askedAt !== 0) return false
    this.isOn = true
    this.#ask(now)
    return true
  }

  /**
   * Stops waiting for an answer that may have got lost, as one that comes by POST may; until the next answer nothing
   * waits.
   *
   * @returns whether it has stopped waiting
   */
  giveUp (now: number): boolean {
    if (this.#askedAt === 0 || now - this.#heardAt < LOST) return false
    this.#isSure = false
    this.#forget()
    return true
  }
}
