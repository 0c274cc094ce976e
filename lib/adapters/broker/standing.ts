import { isUnavailable, Refusal } from '../../errors/refusal.js'
import { Absence, type Question } from './absence.js'

/** What a broker is asked for: one that is full declines every change, and still reads. */
export type Asking = 'read' | 'change'

export interface Request<T> extends Question<T> {
  /** Whether the broker has answered that it will not do it now: it is full, is loading, or is a replica. */
  readonly isDeclined: (error: unknown) => boolean
}

/** The broker has answered that it will not do what it was asked for. */
export class Declined extends Refusal {
  constructor (cause: unknown, outcome?: 'unknown') { super('unavailable', { retryAfter: 1_000, outcome, cause }) }
}

/**
 * Whether a broker has not answered, so that it would not answer the next question either. One that says what is wrong
 * has answered, and that may be wrong with one value alone.
 */
export function isAway (error: unknown): boolean {
  return isUnavailable(error) && error.cause === undefined && error.why === undefined
}

/**
 * Tells whether a broker, or one shard of it, can decide: it may be out of reach, which its link tells as well, or
 * answer and decline. One that declines is there, so nobody decides without it as long as it may be over soon; the
 * patience is that for one that is out of reach. Each of the three has a window of its own, since an answer to one says
 * nothing about the others.
 */
export class Standing {
  readonly link = new Absence()
  readonly #declined: Readonly<Record<Asking, Absence>> = { read: new Absence(), change: new Absence() }

  /**
   * Makes a request, and repeats it when it failed although the broker is there or may come back at once. The request
   * must be idempotent, because a failed one may have been executed and only its answer lost.
   *
   * @throws the error of the last attempt
   */
  async insist<T> (asking: Asking, { isDeclined, ...question }: Request<T>): Promise<T> {
    return await this.#declined[asking].insist({
      ask: async () => await this.link.insist(question),
      canAsk: () => true,
      isBlink: isDeclined
    })
  }

  /** Lets all who wait ask again, because another than this one is to answer them. */
  replaced (): void { for (const each of this.#all) each.over() }

  /** Ends all waiting, because nobody asks any more. */
  close (): void { for (const each of this.#all) each.known() }

  get #all (): readonly Absence[] { return [this.link, ...Object.values(this.#declined)] }
}
