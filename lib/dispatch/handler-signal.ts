import type { Refusal } from '../errors/refusal.js'
import type { GiveUp } from './departures.js'

/** Follows whoever waits for a handler's outcome; the result ends it. */
export type WhenGone = (giveUp: GiveUp) => () => void

/** The signal of one handler: it is aborted once, with the reason why nobody waits for its outcome any more. */
export class HandlerSignal {
  readonly #controller = new AbortController()
  #unfollow: (() => void) | undefined
  #given: Refusal | undefined

  get signal (): AbortSignal { return this.#controller.signal }

  /** Why the handler was given up; absent where it was not. */
  get given (): Refusal | undefined { return this.#given }

  follow (whenGone: WhenGone): void {
    const unfollow = whenGone((why) => { this.giveUp(why) })
    // It may be gone already.
    if (this.#given === undefined) this.#unfollow = unfollow
    else unfollow()
  }

  giveUp (why: Refusal): void {
    if (this.#given !== undefined) return
    this.#given = why
    this.stop()
    this.#controller.abort(why)
  }

  /** Ends the following. */
  stop (): void {
    this.#unfollow?.()
    this.#unfollow = undefined
  }

  /** Whether a handler threw `error` because of the signal; some libraries throw an error of their own then. */
  isReasonOf (error: unknown): boolean {
    return this.#given !== undefined &&
      (error === this.#given || (error as { name?: unknown } | null | undefined)?.name === 'AbortError')
  }
}
