import type { KeptText } from '../adapters/adapter.js'

/**
 * Milliseconds between two reads of a text that is silent: a living writer takes a step every ten seconds at the
 * latest, and has written again by then what the adapter has lost.
 */
const BETWEEN = 14_000
/**
 * Milliseconds between two reads of a text of which the adapter says that something is kept: it may be a part of it.
 */
const WHOLE = 600_000
/** Texts of one room that are read at a time, because each may be large. */
const READS = 16

interface Read {
  /** When it was asked for, or read, last. */
  readonly at: number
  /** When it was read last, or asked for the first time. */
  readonly readAt: number
  readonly isMissing: boolean
}

/**
 * Finds the silent texts of a room that nobody keeps any more. An adapter says nothing of these when it is asked what
 * has changed, so they are asked for now and then.
 */
export class SilentTexts {
  #reads = new WeakMap<KeptText, Read>()

  /** Chooses the texts that are to be read now: first those that were missing, then those read longest ago. */
  due (silent: readonly KeptText[], now: number): KeptText[] {
    const due: Array<{ text: KeptText, order: number }> = []
    for (const text of silent) {
      const read = this.#reads.get(text)
      if (read !== undefined && now - read.at < BETWEEN) continue
      due.push({ text, order: read === undefined ? 0 : read.isMissing ? Number.NEGATIVE_INFINITY : read.at })
    }
    return due.sort((a, b) => a.order - b.order).slice(0, READS).map(({ text }) => text)
  }

  /** Whether it is to be read although something is kept of it. */
  isToBeRead (text: KeptText, now: number): boolean { return now - (this.#reads.get(text)?.readAt ?? now) >= WHOLE }

  /** Notes that something is kept of a text, which was not read. */
  isThere (text: KeptText, now: number): void {
    this.#reads.set(text, { at: now, readAt: this.#reads.get(text)?.readAt ?? now, isMissing: false })
  }

  /**
   * Takes the answer to a read.
   *
   * @returns whether nobody keeps the text any more
   */
  isLost (text: KeptText, isMissing: boolean, now: number): boolean {
    const wasMissing = this.#reads.get(text)?.isMissing === true
    this.#reads.set(text, { at: now, readAt: now, isMissing })
    return wasMissing && isMissing
  }

  /** Begins anew: while the broker was away nobody could write. */
  touch (): void { this.#reads = new WeakMap() }
}
