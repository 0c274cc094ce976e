import type { FastifyBaseLogger } from 'fastify'

/** Milliseconds between two lines about the same. */
const PAUSE = 60_000

/** Warns once a minute of each kind of failure, and says how many there were since. */
export class Warnings {
  readonly #log: FastifyBaseLogger
  readonly #kinds = new Map<string, { until: number, suppressed: number }>()

  constructor (log: FastifyBaseLogger) {
    this.#log = log
  }

  /** @param kind one of a closed set, which tells lines apart */
  warn (kind: string, detail: object, message: string): void {
    const now = performance.now()
    const known = this.#kinds.get(kind)
    if (known !== undefined && now < known.until) {
      known.suppressed++
      this.#log.debug(detail, message)
      return
    }
    const { suppressed = 0 } = known ?? {}
    this.#kinds.set(kind, { until: now + PAUSE, suppressed: 0 })
    this.#log.warn(suppressed === 0 ? detail : { ...detail, suppressed }, message)
  }
}
