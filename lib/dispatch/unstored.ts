import type { ClaimStore } from '../adapters/adapter.js'
import { Losses } from '../retention/losses.js'
import { Remembered } from '../retention/remembered.js'
import { Retention } from '../retention/retention.js'
import { every } from '../structures/timers.js'

/** What a message came to, or that its claim is to be given back (no outcome), and could not be told to the adapter. */
export interface Unstored {
  readonly key: string
  readonly hash: string
  readonly outcome: string | undefined
  readonly owner: string
  readonly until: number
}

export interface RememberedLimits { readonly bytes: number, readonly perUser: number }

export interface UnstoredOptions {
  /** milliseconds that an outcome is kept */
  readonly window: number
  /** under which messages are claimed */
  readonly holder: string
  /** a user over his own bytes loses his oldest, and over all together one who holds most does */
  readonly remembered: RememberedLimits
  readonly log: { warn (object: object, message: string): void }
}

/** Milliseconds between two tries. */
const RETRY = 1_000
/** Outcomes that are looked at for their end when one is added. */
const SWEEP = 8

/**
 * Outcomes of messages that the adapter could not be told of while its server was away: known here, and told again
 * until it takes them.
 */
export class UnstoredOutcomes {
  readonly #claims: ClaimStore
  readonly #options: UnstoredOptions
  readonly #retention: Retention
  readonly #outcomes: Remembered<Unstored>
  #timer: NodeJS.Timeout | undefined
  #isTelling = false
  readonly #losses = new Losses(
    'outcomes of messages were forgotten before the adapter could store them: a repeated message may run again; raise limits.remembered'
  )

  constructor (claims: ClaimStore, options: UnstoredOptions) {
    this.#claims = claims
    this.#options = options
    this.#retention = new Retention(options.remembered.bytes)
    this.#outcomes = new Remembered(this.#retention, options.remembered.perUser, () => {
      this.#losses.add(options.log, this.bytes)
    })
  }

  get size (): number { return this.#outcomes.size }
  get bytes (): number { return this.#retention.bytes }
  /** outcomes that had to go before they were stored, for want of bytes: what they belong to would run again */
  get forgotten (): number { return this.#losses.count }

  get (key: string): Unstored | undefined { return this.#outcomes.get(key, performance.now()) }

  add (key: string, hash: string, outcome: string | undefined, owner: string): void {
    const now = performance.now()
    const until = now + this.#options.window
    this.#outcomes.sweep(now, SWEEP)
    this.#outcomes.set(
      owner,
      key,
      { key, hash, outcome, owner, until },
      hash.length + (outcome?.length ?? 0),
      until,
      now
    )
    this.#timer ??= every(() => { void this.#tell() }, RETRY).unref()
  }

  /** It is claimed here again: there is nothing to be given back. */
  drop (key: string): void { this.#outcomes.delete(key, performance.now()) }

  async #tell (): Promise<void> {
    if (this.#isTelling) return
    this.#isTelling = true
    try {
      const now = performance.now()
      for (const entry of this.#outcomes.values(now)) {
        const { key, hash, outcome, owner, until } = entry
        await this.#claims.settle(
          key,
          hash,
          outcome,
          Math.max(1, until - performance.now()),
          owner,
          this.#options.holder
        )
        if (this.#outcomes.get(key, now) === entry) this.#outcomes.delete(key, now)
      }
      this.#outcomes.sweep(performance.now(), Number.POSITIVE_INFINITY)
      if (this.#outcomes.size === 0) this.stop()
    } catch {
      // Away still: all of them are told again with the next turn.
    } finally {
      this.#isTelling = false
    }
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
