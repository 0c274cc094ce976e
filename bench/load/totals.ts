/** What has arrived at all clients of this process. */
export class Totals {
  events = 0
  bytes = 0
  /** microseconds */
  latencies: number[] = []
  #expected = 0
  #reached: (() => void) | undefined

  event (): void {
    if (++this.events === this.#expected) this.#settle()
  }

  /** @param age microseconds; `undefined` of a frame that is no event */
  sample (age: number | undefined): void { if (age !== undefined) this.latencies.push(age) }

  /** Resolves when `events` more than all that were expected before have arrived. */
  expect (events: number): Promise<void> {
    this.#expected += events
    return new Promise((resolve) => {
      this.#reached = resolve
      if (this.events >= this.#expected) this.#settle()
    })
  }

  reset (): void {
    this.events = 0
    this.bytes = 0
    this.latencies = []
    this.#expected = 0
  }

  #settle (): void {
    this.#reached?.()
    this.#reached = undefined
  }
}
