/**
 * Notices that messages of other nodes may have been dropped before this node had read them, and tells so once the rest
 * has been read.
 */
export class Missed {
  readonly #cutOff: number
  readonly #onMissed: () => void
  /** When all messages had been read last, by `performance.now()`. */
  #readAt = Number.POSITIVE_INFINITY
  #isSo = false

  /** @param cutOff milliseconds without a read after which some may be past their time */
  constructor (cutOff: number, onMissed: () => void) {
    this.#cutOff = cutOff
    this.#onMissed = onMissed
  }

  /** Called before a read. */
  begins (): void { this.#isSo ||= performance.now() - this.#readAt > this.#cutOff }

  /** Notes that some were dropped for another reason. */
  note (): void { this.#isSo = true }

  /** Called when all that is kept has been read. */
  isRead (): void {
    this.#readAt = performance.now()
    const isSo = this.#isSo
    this.#isSo = false
    if (isSo) this.#onMissed()
  }
}
