import { after, every } from '../../structures/timers.js'

/**
 * Milliseconds for which a broker that cannot be reached may come back at once: until then no caller decides without
 * it.
 */
const BLINK = 2_000
/**
 * Milliseconds of one step in which the window is counted. A process that stands still loses one step only, however
 * long it stands.
 */
const STEP = 100
/** Milliseconds until a failed request to a broker that is connected is repeated. */
const AGAIN = 50

/**
 * Tells whether a broker that cannot be reached may come back at once, so that callers wait for it, or is away, so that
 * no caller waits. Requests and the link to the broker both report what they find.
 */
export class Absence {
  readonly #waiting = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined
  #isKnown = false

  /** Whether it could not be reached, and has not answered since. */
  get isInDoubt (): boolean { return this.#isKnown || this.#timer !== undefined }

  /** Reports that it could not be reached, or that its connection broke. */
  lost (): void {
    if (this.#isKnown || this.#timer !== undefined) return
    let left = BLINK / STEP
    this.#timer = every(() => { if (--left <= 0) this.known() }, STEP).unref()
  }

  /** Reports that it does not answer: it counts as away until it does. */
  known (): void {
    this.#isKnown = true
    this.#settle()
  }

  /** Reports that it answers. */
  over (): void {
    this.#isKnown = false
    this.#settle()
  }

  /**
   * Reports that it is there although requests fail, because its connections break again and again: the window begins
   * anew, so that nobody decides without it.
   */
  seen (): void {
    this.over()
    this.lost()
  }

  #settle (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const done of [...this.#waiting]) done()
  }

  /**
   * Waits until a request may be repeated.
   *
   * @param canAsk whether it is connected, so that waiting a moment is enough
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
   * Makes a request, and repeats it when it failed although the broker is there or may come back at once. The request
   * must be idempotent, because a failed one may have been executed and only its answer lost.
   *
   * @throws the error of the last attempt
   */
  async insist<T> ({ ask, canAsk, isBlink }: Question<T>): Promise<T> {
    let end: number | undefined
    for (;;) {
      try {
        const answer = await ask()
        if (this.isInDoubt) this.over()
        return answer
      } catch (error) {
        if (!isBlink(error)) throw error
        this.lost()
        // A broker that comes and goes is not waited for without end either.
        end ??= performance.now() + 2 * BLINK
        if (performance.now() > end || !await this.#mayAsk(canAsk())) throw error
      }
    }
  }
}

export interface Question<T> {
  readonly ask: () => Promise<T>
  /** Whether the link to the broker is open. */
  readonly canAsk: () => boolean
  /**
   * Whether the broker is or may be there in spite of the error: its connection broke, or it has answered others
   * meanwhile.
   */
  readonly isBlink: (error: unknown) => boolean
}
