import type { Link, LinkEvents } from '../connection/link.js'

/** Milliseconds in which a poll gathers what arrives together. */
const GATHER = 5

export interface PollOptions {
  /** milliseconds that the poll may stay open when nothing comes */
  readonly wait: number
  /** takes what has been gathered and writes the answer; called once */
  readonly answer: () => void
}

/** One poll: frames wait in the connection's outbox until the answer takes them. */
export class PollLink implements Link {
  readonly transport = 'polling'
  readonly #options: PollOptions
  #timer: NodeJS.Timeout | undefined
  #isGathering = false
  #isDone = false

  constructor (options: PollOptions) {
    this.#options = options
  }

  attach (_events: LinkEvents): void {}

  write (): boolean { return true }

  /** There is something: gather for a few milliseconds more. */
  readonly pending = (): void => {
    if (this.#isGathering || this.#isDone) return
    this.#isGathering = true
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => { this.#finish() }, GATHER)
  }

  /** Waits for the first frame, unless one is there. */
  start (): void {
    if (this.#isGathering || this.#isDone) return
    this.#timer = setTimeout(() => { this.#finish() }, this.#options.wait)
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
