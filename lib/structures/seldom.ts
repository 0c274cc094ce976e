/** Milliseconds between two lines about the same. */
const MINUTE = 60_000

/** Says which of many like events is worth a line of the log: of each kind one in a minute. */
export class Seldom {
  readonly #kinds = new Map<string, { at: number, held: number }>()

  /**
   * @param kind one of a closed set, never a text that a peer chooses
   * @param now milliseconds of a monotonic clock
   * @returns how many of this kind were held back since the last line; `undefined` where this one is held back too
   */
  due (kind: string, now: number = performance.now()): number | undefined {
    const known = this.#kinds.get(kind)
    if (known !== undefined && now - known.at < MINUTE) {
      known.held++
      return undefined
    }
    this.#kinds.set(kind, { at: now, held: 0 })
    return known?.held ?? 0
  }
}
