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
  #hasNews = false
  #isDone = false

  #notBefore: number
  #readUntil = 0
  /** Whether it is answered as soon as what its peer has missed has been read. */
  #isHurried = false

  constructor (options: PollOptions) {
    this.#options = options
    this.#notBefore = performance.now() + (options.hold ?? 0)
  }

  attach (_events: LinkEvents): void {}

  write (): boolean { return true }

  /** Tells that a frame waits; a poll that has started then gathers for a few more milliseconds. */
  readonly pending = (): void => {
    if (this.#hasNews) return
    this.#hasNews = true
    if (this.#isStarted) this.#arm(GATHER)
  }

  /**
   * Waits for the first frame, unless one is there already. It is called only once the answer can tell the outcome of
   * each room, because frames mean nothing without it.
   *
   * @param most milliseconds to wait at most, where that is less than the poll asked for
   */
  start (most = this.#options.wait): void {
    this.#isStarted = true
    this.#readUntil = performance.now() + READING
    this.#arm(this.#hasNews || this.#isHurried ? GATHER : Math.min(most, this.#options.wait))
  }

  /** Waits for no more news, nor for the rate of its peer; if it has to be now, nor for what is being read. */
  hurry (isNow = false): void {
    this.#isHurried = true
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
