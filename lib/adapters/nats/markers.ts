/** Newest events that are remembered. */
const SIZE = 256

/**
 * Remembers outside the broker what this node has seen of a stream: the event of each number. A stream that was
 * restored from older data gives the same numbers to other events.
 */
export class Markers {
  readonly #numbers = new Float64Array(SIZE)
  readonly #origins: string[] = Array.from({ length: SIZE }, () => '')
  /** The highest number seen. */
  top: number

  constructor (top: number) {
    this.top = top
  }

  /** @returns false when another event had this number */
  saw (sequence: number, origin: string): boolean {
    const index = sequence % SIZE
    if (this.#numbers[index] === sequence) return this.#origins[index] === origin
    if (sequence > this.#numbers[index]!) {
      this.#numbers[index] = sequence
      this.#origins[index] = origin
    }
    if (sequence > this.top) this.top = sequence
    return true
  }

  /** Remembered numbers up to `most`, the highest first, each with the origin of its event. */
  upTo (most: number): Array<{ readonly sequence: number, readonly origin: string }> {
    const found: Array<{ sequence: number, origin: string }> = []
    for (let index = 0; index < SIZE; index++) {
      const sequence = this.#numbers[index]!
      if (sequence > 0 && sequence <= most) found.push({ sequence, origin: this.#origins[index]! })
    }
    return found.sort((a, b) => b.sequence - a.sequence)
  }
}
