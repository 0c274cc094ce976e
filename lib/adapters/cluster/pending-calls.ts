import { Refusal } from '../../errors/refusal.js'
import { FORGOTTEN } from './call-key.js'
import { every } from '../../structures/timers.js'
import { LoopClock } from '../broker/patience.js'
import { charactersOf } from './characters.js'
import type { Line, Queued } from './line.js'

export interface PendingCallsOptions {
  readonly line: Line
  /** Milliseconds that a call may take, also one that waits until the primary takes it. */
  readonly timeout: number
  /** Calls that may wait for an answer. */
  readonly most: number
  /** Called when the primary does not answer in time, and when it does again. */
  readonly onState: (isUp: boolean) => void
}

interface Asked {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Refusal) => void
}

interface Waiting extends Asked {
  /** Time at which it was made. */
  readonly since: number
  isSent: boolean
  /** Its place among what is not sent yet. */
  queued: Queued | undefined
}

/** Characters that may wait to be sent to the primary. */
const MAX_SIZE = 33_554_432
/** Milliseconds between two looks at the oldest call. */
const LOOK = 100

/** The calls of one adapter to its primary, which answers them in their order. */
export class PendingCalls {
  readonly #options: PendingCallsOptions
  readonly #waiting = new Map<number, Waiting>()
  readonly #insisted = new Map<number, Asked>()
  readonly #clock = new LoopClock()
  #timer: NodeJS.Timeout | undefined
  #count = 0
  #isUp = true
  #isClosed = false
  /** Calls that were refused because too many waited. */
  refused = 0

  constructor (options: PendingCallsOptions) {
    this.#options = options
  }

  get size (): number { return this.#waiting.size + this.#insisted.size }
  get isUp (): boolean { return this.#isUp && !this.#isClosed }
  /** The number of the call that was made last. */
  get last (): number { return this.#count }

  start (): void {
    this.#clock.start()
    this.#timer = every(() => { this.#look() }, LOOK).unref()
  }

  /**
   * Asks the primary.
   *
   * @throws Refusal `unavailable`: at the bound, and without an answer in time. With `outcome: 'unknown'` it may have
   *   happened
   */
  async call (method: string, args: readonly unknown[]): Promise<unknown> {
    const { line, most } = this.#options
    if (this.#isClosed) throw new Refusal('unavailable')
    if (this.#waiting.size >= most || line.size > MAX_SIZE) {
      this.refused++
      throw new Refusal('unavailable', { retryAfter: 1_000 })
    }
    const id = ++this.#count
    return await new Promise((resolve, reject) => {
      const waiting: Waiting = { resolve, reject, since: this.#clock.now(), isSent: false, queued: undefined }
      this.#waiting.set(id, waiting)
      waiting.queued = line.push([id, method, ...args], charactersOf(args), {
        posted: () => { waiting.isSent = true },
        waited: () => this.#clock.now() - waiting.since
      })
    })
  }

  /** Tells the primary something that has to happen, whenever it gets there: nobody waits for an answer. */
  tell (method: string, args: readonly unknown[]): void {
    this.#options.line.push([0, method, ...args], charactersOf(args))
  }

  /**
   * Has the primary do something, whenever it gets there: it ends something that this worker holds, and what nobody
   * ends is held for as long as the worker lives. So no bound refuses it, and no time either.
   *
   * @throws Refusal `unavailable` when the primary is gone, or cannot do it
   */
  async insist (method: string, args: readonly unknown[]): Promise<void> {
    if (this.#isClosed) throw new Refusal('unavailable')
    const id = ++this.#count
    await new Promise((resolve, reject) => {
      this.#insisted.set(id, { resolve, reject })
      this.#options.line.push([id, method, ...args], charactersOf(args))
    })
  }

  /** Takes what the primary says of a call. */
  answered (id: unknown, answer: unknown): void { this.#settle(id)?.resolve(answer) }

  /** Takes that the primary has not done what it was asked, and why. */
  refusedBy (id: unknown, primary: string): void {
    const isForgotten = primary === FORGOTTEN
    this.#settle(id)?.reject(new Refusal('unavailable', {
      retryAfter: 1_000,
      why: { primary },
      ...(isForgotten ? { outcome: 'unknown', message: 'too many others came since; the primary has forgotten it' } : {})
    }))
  }

  #settle (id: unknown): Asked | undefined {
    this.#setUp(true)
    const waiting = this.#waiting.get(id as number) ?? this.#insisted.get(id as number)
    this.#waiting.delete(id as number)
    this.#insisted.delete(id as number)
    return waiting
  }

  #setUp (isUp: boolean): void {
    if (this.#isUp === isUp || this.#isClosed) return
    this.#isUp = isUp
    this.#options.onState(isUp)
  }

  #look (): void {
    const due = this.#clock.now() - this.#options.timeout
    for (const [id, { since, isSent, queued, reject }] of this.#waiting) {
      if (since > due) return
      this.#waiting.delete(id)
      // What nobody waits for any more must not keep out what comes after it.
      if (queued !== undefined) this.#options.line.withdraw(queued)
      this.#setUp(false)
      reject(new Refusal('unavailable', { retryAfter: 1_000, ...(isSent ? { outcome: 'unknown' as const } : {}) }))
    }
  }

  /** Settles all calls: the primary is gone, or the adapter is closed. */
  close (): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    this.#clock.stop()
    for (const { reject, isSent } of this.#waiting.values()) {
      reject(new Refusal('unavailable', isSent ? { outcome: 'unknown' } : {}))
    }
    for (const { reject } of this.#insisted.values()) reject(new Refusal('unavailable', { outcome: 'unknown' }))
    this.#waiting.clear()
    this.#insisted.clear()
  }
}
