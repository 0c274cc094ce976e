import type { Link, LinkEvents } from '../connection/link.js'
import { after } from '../structures/timers.js'

/** Milliseconds for which a poll gathers frames that arrive together. */
const GATHER = 5
/**
 * Milliseconds after its start for which an answer waits for a room whose events are being read. Without this wait the
 * poll would be answered as soon as another room has news, and the next poll would begin to read again from the start.
 */
const READING = 2_000

export interface PollOptions {
  /** Milliseconds that the poll may stay open without news. */
  readonly wait: number
  /** Milliseconds for which the answer is held back, because the peer polls faster than its rate allows. */
  readonly hold?: number
  /** Whether the peer has missed events of a room of which none has been read yet. */
  readonly isReading?: () => boolean
  /** Takes the gathered frames and writes the answer; called once. */
  readonly answer: () => void
}

/** One poll. Frames wait in the connection's outbox until the answer takes them. */
export class PollLink implements Link {
  readonly transport = 'polling'
  readonly #options: PollOptions
  #timer: NodeJS.Timeout | undefined
  #isStarted = false
  /** Time from which it is answered, by `performance.now()`: at once where it is hurried; absent without news. */
  #newsAt: number | undefined
  #isDone = false

  #notBefore: number
  #readUntil = 0
  #until = 0

  constructor (options: PollOptions) {
    this.#options = options
    this.#notBefore = performance.now() + (options.hold ?? 0)
  }

  attach (_events: LinkEvents): void {}

  write (): boolean { return true }

  /** Tells that a frame waits; a poll that has started then gathers for a few more milliseconds, or for the window. */
  readonly pending = (flush = 0): void => {
    const now = performance.now()
    const at = now + Math.max(GATHER, flush)
    // What comes while it gathers does not make it wait longer.
    if (this.#newsAt !== undefined && this.#newsAt <= at) return
    this.#newsAt = at
    if (this.#isStarted) this.#arm(Math.min(at, this.#until) - now)
  }

  /**
   * Waits for the first frame, unless one is there already. It is called only once the answer can tell the outcome of
   * each room, because frames mean nothing without it.
   *
   * @param most milliseconds to wait at most, where that is less than the poll asked for
   */
  start (most = this.#options.wait): void {
    this.#isStarted = true
    const now = performance.now()
    this.#readUntil = now + READING
    const rest = Math.min(most, this.#options.wait)
    this.#until = now + rest
    this.#arm(this.#newsAt === undefined ? rest : Math.max(GATHER, Math.min(this.#newsAt - now, rest)))
  }

  /** Waits for no more news, nor for the rate of its peer; if it has to be now, nor for what is being read. */
  hurry (isNow = false): void {
    this.#newsAt = Number.NEGATIVE_INFINITY
    this.#notBefore = 0
    if (!this.#isStarted) return
    if (isNow) this.#finish()
    else this.#arm(GATHER)
  }

  #arm (wait: number): void {
    if (this.#isDone) return
    clearTimeout(this.#timer)
    this.#timer = after(() => { this.#due() }, Math.max(wait, this.#notBefore - performance.now()))
  }

  #due (): void {
    if (performance.now() < this.#readUntil && this.#options.isReading?.() === true) this.#arm(GATHER)
    else this.#finish()
  }

  /** Answers with the frames that wait now. */
  close (): void { this.#finish() }

  /** Ends the poll without an answer, because its caller is gone or a newer poll has replaced it; the frames stay. */
  abandon (): void {
    this.#isDone = true
    clearTimeout(this.#timer)
  }

  #finish (): void {
    if (this.#isDone) return
    this.abandon()
    this.#options.answer()
  }
}
