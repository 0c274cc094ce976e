import { Slices } from './slices.js'
import { every } from './timers.js'

/** Milliseconds between two sweeps, unless its owner says otherwise. */
const PERIOD = 1_000

/** Sweeps now and then, in small parts, what is over by its time alone: no later call has to come by for that. */
export class Sweeper {
  readonly #slices: Slices
  readonly #period: number
  #timer: NodeJS.Timeout | undefined

  /**
   * @param step looks at a bounded number of things, and returns whether there is more to do now
   * @param period milliseconds between two sweeps
   */
  constructor (step: () => boolean, period = PERIOD) {
    this.#slices = new Slices(step)
    this.#period = period
  }

  /** A call while it runs changes nothing. It keeps no process alive. */
  start (): void { this.#timer ??= every(() => { this.#slices.run() }, this.#period).unref() }

  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#slices.stop()
  }
}
