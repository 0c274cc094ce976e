import type { ClaimStore } from '../adapters/adapter.js'
import { Losses } from '../retention/losses.js'
import { Remembered } from '../retention/remembered.js'
import { Retention } from '../retention/retention.js'
import { every } from '../structures/timers.js'

/** The outcome of a message, or without an outcome the release of its claim, that the adapter could not be told of. */
export interface Unstored {
  readonly key: string
  readonly hash: string
  readonly outcome: string | undefined
  readonly owner: string
  readonly until: number
}

export interface RememberedLimits { readonly bytes: number, readonly perUser: number }

export interface UnstoredOptions {
  /** Milliseconds that an outcome is kept. */
  readonly window: number
  /** Name under which this node claims messages. */
  readonly holder: string
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

  /** Drops an entry whose message is claimed here again, so that there is nothing to release. */
  drop (key: string): void { this.#outcomes.delete(key, performance.now()) }

  async #tell (): Promise<void> {
    if (this.#isTelling) return
    this.#isTelling = true
    try {
      const now = performance.now()
      for (const entry of this.#outcomes.values(now)) {
        const { key, hash, outcome, owner, until } = entry
        await this.#settle(key, hash, outcome, Math.max(1, until - performance.now()), owner)
        if (this.#outcomes.get(key, now) === entry) this.#outcomes.delete(key, now)
      }
      this.#outcomes.sweep(performance.now(), Number.POSITIVE_INFINITY)
      if (this.#outcomes.size === 0) this.stop()
    } catch {
      // The server is still away, and the next attempt begins with all of them again.
    } finally {
      this.#isTelling = false
    }
  }

  /** Gives a claim back; one that cannot be given back expires on its own. Never rejects. */
  async release (key: string, hash: string, owner: string): Promise<void> {
    await this.#settle(key, hash, undefined, this.#options.window, owner).catch(() => undefined)
  }

  async #settle (
    key: string, hash: string, outcome: string | undefined, ttl: number, owner: string
  ): Promise<void> {
    const settled = this.#claims.settle(key, hash, outcome, ttl, owner, this.#options.holder)
    if (!(settled instanceof Promise)) return
    const over = settled.catch(() => undefined)
    this.#telling.set(key, over)
    try {
      await settled
    } finally {
      if (this.#telling.get(key) === over) this.#telling.delete(key)
    }
  }

  /**
   * Resolves when the adapter is no longer being told of this message; absent where it is not. A claim that is made
   * meanwhile could be given back by the release of the one before it, as both are this node's.
   */
  telling (key: string): Promise<unknown> | undefined { return this.#telling.get(key) }

  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
