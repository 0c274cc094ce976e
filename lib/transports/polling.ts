import type { Link, LinkEvents } from '../connection/link.js'
import { after } from '../structures/timers.js'

/** Milliseconds in which a poll gathers what arrives together. */
const GATHER = 5
/**
 * Milliseconds after its start for which an answer waits for a room whose events are being read: without them it would
 * be there as soon as another room has news, and the next poll would begin to read anew.
 */
const READING = 2_000

export interface PollOptions {
  /** milliseconds that the poll may stay open when nothing comes */
  readonly wait: number
  /** milliseconds before which it is not answered: its peer asks faster than its rate allows */
  readonly hold?: number
  /** whether a room has missed events of which none has been read yet */
  readonly isReading?: () => boolean
  /** takes what has been gathered and writes the answer; called once */
  readonly answer: () => void
}

/** One poll: frames wait in the connection's outbox until the answer takes them. */
export class PollLink implements Link {
  readonly transport = 'polling'
  readonly #options: PollOptions
  #timer: NodeJS.Timeout | undefined
  #isStarted = false
  #hasNews = false
  #isDone = false

  readonly #notBefore: number
  #readUntil = 0

  constructor (options: PollOptions) {
    this.#options = options
    this.#notBefore = performance.now() + (options.hold ?? 0)
  }

  attach (_events: LinkEvents): void {}

  write (): boolean { return true }

  /** There is something: once started, gather for a few milliseconds more. */
  readonly pending = (): void => {
    if (this.#hasNews) return
    this.#hasNews = true
    if (this.#isStarted) this.#arm(GATHER)
  }

  /**
   * Waits for the first frame, unless one is there. Not before the answer can say what came of each room: its frames
   * mean nothing without.
   *
   * @param most milliseconds that it waits at most, where that is less than the poll asked for
   */
  start (most = this.#options.wait): void {
    this.#isStarted = true
    this.#readUntil = performance.now() + READING
    this.#arm(this.#hasNews ? GATHER : Math.min(most, this.#options.wait))
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

  /** Answers with what there is. */
  close (): void { this.#finish() }

  /** The caller has gone, or a newer poll took its place: nothing is taken. */
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
