import { after } from '../../structures/timers.js'

/** Milliseconds for which doubts about one stream are gathered before it is compared. */
const DOUBT = 250

/**
 * Gathers signs that a stream is not as it is known here. Many of them come at once, and one comparison answers all of
 * them. There is one entry for each stream, and the streams are those of definitions.
 */
export class Doubts {
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #compare: (stream: string) => void

  constructor (compare: (stream: string) => void) {
    this.#compare = compare
  }

  note (stream: string): void {
    if (this.#timers.has(stream)) return
    this.#timers.set(stream, after(() => {
      this.#timers.delete(stream)
      this.#compare(stream)
    }, DOUBT).unref())
  }

  close (): void { for (const timer of this.#timers.values()) clearTimeout(timer) }
}
