/** How soon a circuit opens, and when it tries again. */
export interface CircuitOptions {
  /** Failures in a row that open it. */
  readonly failures: number
  /** Milliseconds from its opening to the first try; twice as long after each further one, up to `longest`. */
  readonly pause: number
  readonly longest: number
  /** Told of each change. */
  readonly onChange: (isOpen: boolean) => void
}

/**
 * Spares a backend that fails: after failures in a row nobody asks it, until one request tries whether it is back.
 */
export class Circuit {
  readonly #options: CircuitOptions
  #failures = 0
  #pause: number
  /** Until when it is open, by `performance.now()`; 0 while it is closed. */
  #until = 0
  #isProbing = false

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
  enter (): number {
    if (this.#until === 0) return 0
    const left = this.#until - performance.now()
    if (left > 0) return Math.ceil(left)
    if (this.#isProbing) return this.#options.pause
    this.#isProbing = true
    return 0
  }

  succeeded (): void {
    this.#failures = 0
    this.#isProbing = false
    if (this.#until === 0) return
    this.#until = 0
    this.#pause = this.#options.pause
    this.#options.onChange(false)
  }

  failed (): void {
    this.#failures++
    if (this.#until !== 0) {
      // Of those who were asked before it opened, the failure says nothing new.
      if (!this.#isProbing) return
      this.#isProbing = false
      this.#pause = Math.min(this.#options.longest, 2 * this.#pause)
      this.#until = performance.now() + this.#pause
    } else if (this.#failures >= this.#options.failures) {
      this.#until = performance.now() + this.#pause
      this.#options.onChange(true)
    }
  }
}
