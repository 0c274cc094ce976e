import { every } from '../../structures/timers.js'
import { isAway } from '../broker/standing.js'
import { decodeTime } from '../broker/stored.js'
import type { Unread } from '../broker/unread.js'
import type { NatsClock } from './clock.js'
import { away, isUncertain, type NatsLink } from './link.js'
import { fetchAll } from './reading.js'
import { decoded, type NatsState, type Step } from './state.js'
import { stateKey, subjectOf } from './tokens.js'

export interface LastingDenialsOptions {
  readonly link: NatsLink
  readonly clock: NatsClock
  /** The bucket of all denials, which drops each after `kept` milliseconds. */
  readonly denied: NatsState
  readonly kept: number
  /** A bucket that drops nothing by itself, and its name. */
  readonly known: NatsState
  readonly bucket: string
  readonly unread: Unread
}

/** Milliseconds between two steps of a round. */
const STEP = 60_000
/** Rounds that begin within the time for which a denial is kept. */
const ROUNDS = 60
/** Notes that one step looks at. */
const PAGE = 100
const KIND = 'lasting'
/** The kind of the denials themselves, whose keys end alike. */
const DENIAL = 'denial'

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
      await known.change(stateKey(KIND, subject), (value) => this.#later(value, end, false))
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
    const { link, bucket, kept } = this.#options
    const { messages, isAll } = await fetchAll(link, {
      stream: `KV_${bucket}`,
      subject: subjectOf(bucket, KIND + '.*'),
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
    const { link, denied, bucket, clock, kept } = this.#options
    const now = clock.now()
    const end = this.#endOf(text)
    if (end <= now) {
      // A note that was written meanwhile has a higher number.
      await link.change(() => link.jsm.streams.purge(`KV_${bucket}`, { filter, seq: seq + 1 }))
      return
    }
    const key = DENIAL + filter.slice(filter.lastIndexOf('.'))
    const writtenAt = await denied.writtenAt(key)
    if (writtenAt !== undefined && now - writtenAt < kept / 2) return
    await denied.change(key, (value) => this.#later(value, end, true))
  }

  /** The later one of two ends; the one that is there is written anew where that is asked for. */
  #later (value: string | undefined, end: number, isAnew: boolean): Step<undefined> {
    if (this.#endOf(value) < end) return { value: String(end), result: undefined }
    return isAnew ? { value: value!, result: undefined } : { result: undefined }
  }

  #endOf (value: string | undefined): number { return decoded('denial', value, decodeTime, this.#options.unread) ?? 0 }
}
