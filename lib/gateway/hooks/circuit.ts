/** How soon a circuit opens, and when it tries again. */
export interface CircuitOptions {
  /** Failures in a row that open it. */
  readonly failures: number
  /** Users among whom those have to be: what only one of them asks may be what fails. */
  readonly users: number
  /** Milliseconds from its opening to the first try; twice as long after each further one, up to `longest`. */
  readonly pause: number
  readonly longest: number
  /** Told of each change. */
  readonly onChange: (isOpen: boolean) => void
}

/**
 * Spares a backend that is away: after failures in a row nobody asks it, until one request tries whether it is back.
 */
export class Circuit {
  readonly #options: CircuitOptions
  #failures = 0
  /** Some of those who failed since the last success. */
  readonly #users = new Set<string>()
  #pause: number
  /** Until when it is open, by `performance.now()`; 0 while it is closed. */
  #until = 0
  /** Who tries whether it is back. */
  #probing: string | undefined
  /** Who has tried last and failed: somebody else goes first. */
  #failed: string | undefined

  constructor (options: CircuitOptions) {
    this.#options = options
    this.#pause = options.pause
  }

  get isOpen (): boolean { return this.#until !== 0 }

  /**
   * Asks to send one request, whose outcome has to be told then.
   *
   * @returns 0 where it may be sent, else milliseconds until it may be asked again
   */
  enter (user: string): number {
    const left = this.left(user)
    if (left === 0 && this.#until !== 0) this.#probing = user
    return left
  }

  /** What `enter` would say now. */
  left (user: string): number {
    if (this.#until === 0) return 0
    const { pause } = this.#options
    const left = this.#until - performance.now() + (user === this.#failed ? pause : 0)
    if (left > 0) return Math.ceil(left)
    return this.#probing === undefined ? 0 : pause
  }

  /** The backend has answered, whatever it said. */
  answered (): void {
    this.#failures = 0
    this.#users.clear()
    this.#probing = undefined
    this.#failed = undefined
    if (this.#until === 0) return
    this.#until = 0
    this.#pause = this.#options.pause
    this.#options.onChange(false)
  }

  /** The request had too little time to say anything. */
  undecided (user: string): void {
    if (this.#probing === user) this.#probing = undefined
  }

  failed (user: string): void {
    const { failures, users, pause, longest, onChange } = this.#options
    if (this.#until !== 0) {
      // Of those who were asked before it opened, the failure says nothing new.
      if (this.#probing !== user) return
      this.#probing = undefined
      this.#failed = user
      this.#pause = Math.min(longest, 2 * this.#pause)
      this.#until = performance.now() + this.#pause
      return
    }
    this.#failures++
    if (this.#users.size < users) this.#users.add(user)
    if (this.#failures < failures || this.#users.size < users) return
    this.#until = performance.now() + pause
    onChange(true)
  }
}
