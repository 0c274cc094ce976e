import { after } from './timers.js'

/** Waits that end all at once. */
export class Pauses {
  readonly #ends = new Set<() => void>()
  #isOver = false

  /** Whether all have been ended, later ones too. */
  get isOver (): boolean { return this.#isOver }

  /** Number of those that wait. */
  get size (): number { return this.#ends.size }

  /** Resolves after so many milliseconds, or when all are ended. */
  async wait (time: number): Promise<void> {
    if (this.#isOver) return
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#ends.delete(end)
        resolve()
      }
      const timer = after(end, time)
      this.#ends.add(end)
    })
  }

  /** Ends those that wait. */
  wake (): void { for (const end of this.#ends) end() }

  /** Ends those that wait, and each later one at once. */
  end (): void {
    this.#isOver = true
    this.wake()
  }
}
