import type { DenialStore } from '../adapters/adapter.js'
import type { Identity } from '../connection/identity.js'
import { REALTIME_ERR_ADAPTER } from '../errors/misuse.js'
import { Refusal } from '../errors/refusal.js'
import { keyOfKind } from '../protocol/key.js'
import { Remembered } from '../retention/remembered.js'
import { Retention } from '../retention/retention.js'
import type { Awaitable } from '../structures/awaitable.js'

export interface DenialsOptions {
  /** absent where the adapter keeps none */
  readonly store: DenialStore | undefined
  /** bytes of the denials that this node remembers by itself */
  readonly bytes: number
  /** a denial was forgotten before its time, over these bytes */
  readonly onForgotten?: () => void
  /** whether somebody is let in of whom the adapter cannot be asked */
  readonly whenUnavailable: 'admit' | 'refuse'
}

interface Denied { readonly subject: string, readonly until: number }

/** Denials that are looked at for their end when one is added. */
const SWEEP = 8

function refuseDenied (isDenied: boolean): void {
  if (isDenied) throw new Refusal('revoked')
}

/** Users and tokens that are kept out for a time: by the adapter on all nodes, and here whatever becomes of it. */
export class Denials {
  readonly #options: DenialsOptions
  /**
   * denials that this node has heard of, with their ends: they hold here whatever the adapter's server says, which may
   * have lost them
   */
  readonly #denied: Remembered<Denied>
  readonly #retention: Retention

  constructor (options: DenialsOptions) {
    this.#options = options
    this.#retention = new Retention(options.bytes)
    this.#denied = new Remembered(this.#retention)
  }

  /** @throws Refusal `revoked`, or `unavailable` where the adapter cannot be asked and that refuses */
  check ({ userId, tokenId }: Identity): Awaitable<void> {
    const { store } = this.#options
    if (store === undefined) return
    const subjects = tokenId === undefined
      ? [keyOfKind('user', userId)]
      : [keyOfKind('user', userId), keyOfKind('token', tokenId)]
    const now = Date.now()
    if (subjects.some((subject) => this.#denied.get(subject, now) !== undefined)) throw new Refusal('revoked')
    const found = store.isDenied(subjects)
    return found instanceof Promise
      ? found.catch((error: unknown) => this.#unasked(error)).then(refuseDenied)
      : refuseDenied(found)
  }

  #unasked (error: unknown): boolean {
    if (this.#options.whenUnavailable === 'refuse') throw error
    return false
  }

  /**
   * Keeps a user or a token out from now on.
   *
   * @param until Unix milliseconds
   * @throws REALTIME_ERR_ADAPTER where the adapter keeps no denials
   */
  async deny (subject: string, until: number): Promise<void> {
    const { store } = this.#options
    if (store === undefined) {
      throw new REALTIME_ERR_ADAPTER(
        'this adapter keeps no denials: revoke cannot keep anybody out; use the memory or redis adapter'
      )
    }
    // Over already: there is nothing to be kept.
    if (until <= Date.now()) return
    await store.deny(subject, until)
    this.remember(subject, until)
  }

  /** A denial that is kept by the adapter. @param until Unix milliseconds */
  remember (subject: string, until: number): void {
    const now = Date.now()
    this.#retention.sweep(now, SWEEP)
    if (until <= (this.#denied.get(subject, now)?.until ?? now)) return
    const { evicted } = this.#retention
    // Each is its own owner: they end at different times.
    this.#denied.set(subject, subject, { subject, until }, 0, until, now)
    if (this.#retention.evicted > evicted) this.#options.onForgotten?.()
  }

  /** Tells an adapter whose server has lost its data of what this node remembers. */
  async restore (): Promise<void> {
    for (const { subject, until } of this.#denied.values(Date.now())) await this.#options.store?.deny(subject, until)
  }
}
