/** Work in proportion to the population: one small part of it in each turn of the event loop, so that nobody waits for all of it. */
export class Slices {
  readonly #step: () => boolean
  #next: NodeJS.Immediate | undefined

  /** @param step does one part; returns whether there is more */
  constructor (step: () => boolean) {
    this.#step = step
  }

  /** The first part is done at once. Under way already: nothing. */
  run (): void { if (this.#next === undefined) this.#turn() }

  stop (): void {
    clearImmediate(this.#next)
    this.#next = undefined
  }

  #turn (): void {
    this.#next = undefined
    if (this.#step()) this.#next = setImmediate(() => { this.#turn() })
  }
}
