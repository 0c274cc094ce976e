import { after, every } from '../../structures/timers.js'

/** Milliseconds for which a broker that cannot be asked may be back at once: until then nobody decides without it. */
const BLINK = 2_000
/**
 * The window is counted in steps: a process that stands still loses one of them, however long it does. Milliseconds.
 */
const STEP = 100
/** Milliseconds until something that can be asked, and has failed, is asked again. */
const AGAIN = 50

/**
 * What is known of a broker that cannot be asked: it may be back at once, and is waited for; or it is away, and nobody
 * waits. Whoever asks finds out, and so does the link to it.
 */
export class Absence {
  readonly #waiting = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined
  #isKnown = false

  /** It could not be asked, or its connection broke. */
  lost (): void {
    if (this.#isKnown || this.#timer !== undefined) return
    let left = BLINK / STEP
    this.#timer = every(() => { if (--left <= 0) this.known() }, STEP).unref()
  }

  /** It does not answer: it is away until it does. */
  known (): void {
    this.#isKnown = true
    this.#settle()
  }

  /** It answers. */
  over (): void {
    this.#isKnown = false
    this.#settle()
  }

  #settle (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const done of [...this.#waiting]) done()
  }

  /**
   * Waits until it may be asked again.
   *
   * @param canAsk it could be asked now: then only for a moment
   * @returns false when it is away
   */
  async #mayAsk (canAsk: boolean): Promise<boolean> {
    if (this.#isKnown) return false
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(again)
        this.#waiting.delete(done)
        resolve()
      }
      const again = canAsk ? after(done, AGAIN) : undefined
      this.#waiting.add(done)
    })
    return !this.#isKnown
  }

  /**
   * Asks, and asks again what failed although the broker is there, or may be back at once. What is asked must be the
   * same when it has been done already: the answer that is missing may have been lost behind it.
   *
   * @throws what the last question was refused with
   */
  async insist<T> ({ ask, canAsk, isBlink }: Question<T>): Promise<T> {
    let end: number | undefined
    for (;;) {
      try {
        const answer = await ask()
        if (this.#isKnown || this.#timer !== undefined) this.over()
        return answer
      } catch (error) {
        if (!isBlink(error)) throw error
        this.lost()
        // One that comes and goes is not waited for without end either.
        end ??= performance.now() + 2 * BLINK
        if (performance.now() > end || !await this.#mayAsk(canAsk())) throw error
      }
    }
  }
}

export interface Question<T> {
  readonly ask: () => Promise<T>
  /** the link to the broker stands */
  readonly canAsk: () => boolean
  /** the broker is there all the same, or may be: its connection broke, or it has answered others meanwhile */
  readonly isBlink: (error: unknown) => boolean
}
