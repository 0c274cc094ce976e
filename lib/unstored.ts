import type { ClaimStore } from './adapters/adapter.js'
import { Expiring } from './adapters/expiring.js'
import { every } from './timers.js'

/** What a message came to, or that its claim is to be given back (no outcome), and could not be told to the adapter. */
export interface Unstored { readonly key: string, readonly hash: string, readonly outcome: string | undefined, readonly owner: string, readonly until: number }

/** Outcomes that wait for the adapter, and milliseconds between two tries. */
const MAX = 10_000
const RETRY = 1_000

/** Outcomes of messages that the adapter could not be told of while its server was away: known here, and told again until it takes them. */
export class UnstoredOutcomes {
  readonly #claims: ClaimStore
  readonly #window: number
  readonly #holder: string
  readonly #outcomes = new Expiring<Unstored>(MAX)
  #timer: NodeJS.Timeout | undefined
  #isTelling = false

  /**
   * @param window milliseconds that an outcome is kept
   * @param holder under which messages are claimed
   */
  constructor (claims: ClaimStore, window: number, holder: string) {
    this.#claims = claims
    this.#window = window
    this.#holder = holder
  }

  get size (): number { return this.#outcomes.size }

  get (key: string): Unstored | undefined { return this.#outcomes.get(key, performance.now()) }

  add (key: string, hash: string, outcome: string | undefined, owner: string): void {
    const now = performance.now()
    const until = now + this.#window
    this.#outcomes.set(key, { key, hash, outcome, owner, until }, until, now)
    this.#timer ??= every(() => { void this.#tell() }, RETRY).unref()
  }

  /** It is claimed here again: there is nothing to be given back. */
  drop (key: string): void { this.#outcomes.delete(key) }

  async #tell (): Promise<void> {
    if (this.#isTelling) return
    this.#isTelling = true
    try {
      const now = performance.now()
      for (const entry of [...this.#outcomes.values(now)]) {
        const { key, hash, outcome, owner, until } = entry
        await this.#claims.settle(key, hash, outcome, Math.max(1, until - performance.now()), owner, this.#holder)
        if (this.#outcomes.get(key, now) === entry) this.#outcomes.delete(key)
      }
      this.#outcomes.sweep(now)
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
