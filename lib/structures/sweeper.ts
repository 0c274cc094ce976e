import { Slices } from './slices.js'
import { every } from './timers.js'

/** Milliseconds between two sweeps. */
const PERIOD = 1_000

/** Sweeps once a second, in small parts, what is over by its time alone: no later call has to come by for that. */
export class Sweeper {
  readonly #slices: Slices
  #timer: NodeJS.Timeout | undefined

  /** @param step looks at a bounded number of things, and returns whether there is more to do now */
  constructor (step: () => boolean) {
    this.#slices = new Slices(step)
  }

  /** A call while it runs changes nothing. It keeps no process alive. */
  start (): void { this.#timer ??= every(() => { this.#slices.run() }, PERIOD).unref() }

  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#slices.stop()
  }
}
