/**
 * Runs a step that goes over all there is, one run at a time. Who asks during a run waits for another whole one,
 * because the present one may already have passed what it was asked for. All who ask during one run share the next.
 */
export class Rerun {
  readonly #step: () => Promise<void>
  #running: Promise<void> | undefined
  #isAsked = false

  /** @param step does one whole run; where it rejects, all who wait are rejected, and the next call begins anew */
  constructor (step: () => Promise<void>) {
    this.#step = step
  }

  get isRunning (): boolean { return this.#running !== undefined }

  /** Resolves when a run has ended that began after this call. */
  async run (): Promise<void> {
    this.#isAsked = true
    this.#running ??= this.#all()
    await this.#running
  }

  async #all (): Promise<void> {
    try {
      do {
        this.#isAsked = false
        await this.#step()
      } while (this.#isAsked)
    } finally {
      // In the same turn in which nobody asked any more: who asks a moment later would wait for a run that is over.
      this.#running = undefined
    }
  }
}
