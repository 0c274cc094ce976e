import type { ClaimStore } from '../adapters/adapter.js'
import { Losses } from '../retention/losses.js'
import { Remembered } from '../retention/remembered.js'
import { Retention } from '../retention/retention.js'
import { textBytes } from '../structures/text-bytes.js'
import { every } from '../structures/timers.js'

/** A claim of a message by this node. */
export interface OwnClaim {
  readonly key: string
  readonly hash: string
  /** User whose message it is. */
  readonly owner: string
  /** Name under which it was claimed, which no other claim has. */
  readonly holder: string
  /** Whether it is claimed again by this name, because what came of the first time is not known. */
  readonly isAgain?: boolean
}

/** The outcome of a message, or without an outcome the release of its claim, that the adapter could not be told of. */
export interface Unstored extends OwnClaim {
  readonly outcome: string | undefined
  /** Whether the adapter may have been told, and may act on it late. */
  isTried: boolean
  /** The round in which the adapter was told of it last. */
  round: number
  readonly until: number
}

export interface RememberedLimits { readonly bytes: number, readonly perUser: number }

export interface UnstoredOptions {
  /** Milliseconds that an outcome is kept. */
  readonly window: number
  /**
   * Bounds in bytes: above its own bound a user loses its oldest entry, above the total one of those that hold the most
   * does.
   */
  readonly remembered: RememberedLimits
  readonly log: { warn (object: object, message: string): void }
}

/** Milliseconds between two attempts. */
const RETRY = 1_000
/** Outcomes that are checked for expiry when one is added. */
const SWEEP = 8
/** Outcomes in a row that the server does not take, after which it counts as away. */
const AWAY = 5

/**
 * Keeps the outcomes of messages that could not be stored while the adapter's server was away. This node knows them,
 * and stores them as soon as the adapter accepts them.
 */
export class UnstoredOutcomes {
  readonly #claims: ClaimStore
  readonly #options: UnstoredOptions
  readonly #retention: Retention
  readonly #outcomes: Remembered<Unstored>
  #timer: NodeJS.Timeout | undefined
  #isTelling = false
  /** Each attempt goes on behind those that failed before it, and begins anew once all have had their turn. */
  #round = 1
  /** Messages of which the adapter is being told, and when that is over. */
  readonly #telling = new Map<string, Promise<unknown>>()
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
  /** Number of outcomes that were evicted for want of bytes before they were stored; their messages would run again. */
  get forgotten (): number { return this.#losses.count }

  get (key: string): Unstored | undefined { return this.#outcomes.get(key, performance.now()) }

  /** @param isTried whether the adapter may have been told already, and may act on it late */
  add (claim: OwnClaim, outcome: string | undefined, isTried: boolean): void {
    const { key, hash, owner, holder } = claim
    const now = performance.now()
    const until = now + this.#options.window
    this.#outcomes.sweep(now, SWEEP)
    this.#outcomes.set(
      owner,
      key,
      { key, hash, owner, holder, outcome, isTried, round: 0, until },
      textBytes(hash) + textBytes(outcome ?? ''),
      until,
      now
    )
    this.#timer ??= every(() => { void this.#tell() }, RETRY).unref()
  }

  /** Drops an entry whose message is claimed here again, so that there is nothing to release. */
  drop (key: string): void { this.#outcomes.delete(key, performance.now()) }

  async #tell (): Promise<void> {
    if (this.#isTelling) return
    this.#isTelling = true
    try {
      const now = performance.now()
      let failed = 0
      for (const entry of this.#outcomes.values(now)) {
        if (entry.round === this.#round) continue
        entry.round = this.#round
        try {
          await this.#tellOf(entry)
          failed = 0
        } catch {
          // One alone may be what the server never takes, such as an outcome that is too large for it.
          if (++failed === AWAY) break
        }
      }
      if (failed < AWAY) this.#round++
      this.#outcomes.sweep(performance.now(), Number.POSITIVE_INFINITY)
      if (this.#outcomes.size === 0) this.stop()
    } finally {
      this.#isTelling = false
    }
  }

  async #tellOf (entry: Unstored): Promise<void> {
    entry.isTried = true
    await this.#settle(entry, entry.outcome, Math.max(1, entry.until - performance.now()), (isTold) => {
      const now = performance.now()
      if (isTold && this.#outcomes.get(entry.key, now) === entry) this.#outcomes.delete(entry.key, now)
    })
  }

  /** Gives a claim back, and again later where that fails. Never rejects. */
  async release (claim: OwnClaim): Promise<void> {
    await this.#settle(claim, undefined, this.#options.window, (isTold) => {
      if (!isTold) this.add(claim, undefined, true)
    }).catch(() => undefined)
  }

  /** @param over called with what came of it, before anybody who waits for that goes on */
  async #settle (
    { key, hash, owner, holder }: OwnClaim,
    outcome: string | undefined,
    ttl: number,
    over: (isTold: boolean) => void
  ): Promise<void> {
    const settled = this.#claims.settle(key, hash, outcome, ttl, owner, holder)
    if (!(settled instanceof Promise)) return over(true)
    const told = settled.then(() => { over(true) }, (error: Error) => {
      over(false)
      throw error
    })
    const end = told.catch(() => undefined)
    this.#telling.set(key, end)
    try {
      await told
    } finally {
      if (this.#telling.get(key) === end) this.#telling.delete(key)
    }
  }

  /**
   * Asks for what a new claim of a message has to take over.
   *
   * @returns the name of a claim that the adapter may hold and was not told to give back, for the new one to go on
   *   under, and then it is owed no longer; or a promise, where a claim is being given back, or was to be and may be so
   *   late: that is told again first
   * @throws Refusal by the promise, where the adapter still cannot be told
   */
  owed (key: string): Promise<unknown> | string | undefined {
    const telling = this.#telling.get(key)
    if (telling !== undefined) return telling
    const entry = this.get(key)
    if (entry === undefined || entry.outcome !== undefined) return undefined
    if (entry.isTried) return this.#tellOf(entry)
    this.drop(key)
    return entry.holder
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
