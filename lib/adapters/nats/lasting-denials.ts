import { isUncertain } from '../../errors/refusal.js'
import { every } from '../../structures/timers.js'
import { isAway } from '../broker/standing.js'
import { decodeTime } from '../broker/stored.js'
import type { Unread } from '../broker/unread.js'
import type { NatsClock } from './clock.js'
import { away, type NatsLink } from './link.js'
import { fetchAll } from './reading.js'
import { decoded, type NatsState, type Step } from './state.js'
import { stateKey, subjectOf } from './tokens.js'

export interface LastingDenialsOptions {
  readonly link: NatsLink
  readonly clock: NatsClock
  /** The bucket of all denials, which drops each after `kept` milliseconds. */
  readonly denied: NatsState
  readonly kept: number
  /** A bucket that drops nothing by itself. */
  readonly known: NatsState
  readonly unread: Unread
}

/** Milliseconds between two steps of a round. */
const STEP = 60_000
/** Rounds that begin within the time for which a denial is kept. */
const ROUNDS = 60
/** Notes that one step looks at. */
const PAGE = 100
const KIND = 'lasting'
/** The kinds of the denials themselves, and of which one each is; their keys end alike. */
const DENIAL = 'denial'
const VERSION = 'version'

/**
 * Keeps denials in force that last longer than the bucket of all denials keeps any: that one forgets by age alone, so
 * that the many short ones leave nothing behind. Of each of the few others the end is noted where nothing is forgotten.
 * Every node goes through these notes, some at a time, and writes each denial anew long before it would be dropped.
 */
export class LastingDenials {
  readonly #options: LastingDenialsOptions
  #timer: NodeJS.Timeout | undefined
  /** The last number that this round has looked at. */
  #at = 0
  /** When the next round begins, by `performance.now()`. */
  #due = 0
  #isLooking = false

  constructor (options: LastingDenialsOptions) {
    this.#options = options
  }

  /** Begins at once, since no node may have been here for long; `stop` ends it. */
  start (): void {
    void this.look()
    this.#timer = every(() => { void this.look() }, STEP).unref()
  }

  stop (): void { clearInterval(this.#timer) }

  /**
   * Notes the end of a denial that has been written, where the bucket keeps it shorter.
   *
   * @param end by the broker's clock
   * @throws Refusal `unavailable`, with the outcome `unknown`: the denial is in force by now
   */
  async note (subject: string, end: number): Promise<void> {
    const { known, clock, kept } = this.#options
    if (end - clock.now() <= kept) return
    try {
      await known.change(stateKey(KIND, subject), (value) => raised(value, end, this.#options.unread))
    } catch (error) {
      throw isUncertain(error) ? error : away('unknown')
    }
  }

  /** Looks at some of the notes, once that is due. Never rejects: what fails is looked at again by the next step. */
  async look (): Promise<void> {
    const { link } = this.#options
    if (this.#isLooking || !link.isUp || performance.now() < this.#due) return
    this.#isLooking = true
    try {
      await this.#step()
    } catch {
      // The broker is away, or the bucket has been deleted with its notes.
    } finally {
      this.#isLooking = false
    }
  }

  async #step (): Promise<void> {
    const { link, known, kept } = this.#options
    const { messages, isAll } = await fetchAll(link, {
      stream: known.stream,
      subject: subjectOf(known.name, KIND + '.*'),
      start: this.#at + 1,
      most: PAGE
    })
    for (const { subject, text, seq } of messages) {
      await this.#renew(subject, text, seq).catch((error: unknown) => {
        // What is wrong with one note keeps no other back.
        if (isAway(error)) throw error
      })
      this.#at = seq
    }
    if (!isAll) return
    this.#at = 0
    this.#due = performance.now() + kept / ROUNDS
  }

  async #renew (filter: string, text: string, seq: number): Promise<void> {
    const { link, denied, known, clock, kept, unread } = this.#options
    const now = clock.now()
    const end = momentIn(text, unread)
    if (end <= now) {
      // A note that was written meanwhile has a higher number.
      await link.change(() => link.jsm.streams.purge(known.stream, { filter, seq: seq + 1 }))
      return
    }
    const token = filter.slice(filter.lastIndexOf('.'))
    const writtenAt = await denied.writtenAt(DENIAL + token)
    if (writtenAt !== undefined && now - writtenAt < kept / 2) return
    // Which one it was is asked for as long as somebody is kept out.
    await denied.change(VERSION + token, (value) => ({ ...(value === undefined ? {} : { value }), result: undefined }))
    await denied.change(DENIAL + token, (value) => raised(value, end, unread, true))
  }
}

/** The Unix time, or version, that a value is. A value that cannot be read is none. */
export function momentIn (value: string | undefined, unread: Unread): number {
  return decoded('denial', value, decodeTime, unread) ?? 0
}

/** The step to the later one of two; the one that is there is written anew where that is asked for. */
export function raised (value: string | undefined, to: number, unread: Unread, isAnew = false): Step<undefined> {
  if (momentIn(value, unread) < to) return { value: String(to), result: undefined }
  return isAnew ? { value: value!, result: undefined } : { result: undefined }
}
