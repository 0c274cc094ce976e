import type { DenialStore } from '../adapters/adapter.js'
import type { Identity } from '../connection/identity.js'
import { REALTIME_ERR_ADAPTER } from '../errors/misuse.js'
import { Refusal } from '../errors/refusal.js'
import { keyOfKind } from '../protocol/key.js'
import { Remembered } from '../retention/remembered.js'
import { Retention } from '../retention/retention.js'
import type { Awaitable } from '../structures/awaitable.js'

export interface DenialsOptions {
  /** Absent where the adapter keeps none. */
  readonly store: DenialStore | undefined
  /** Bytes of the denials that this node remembers on its own. */
  readonly bytes: number
  /** Called when a denial was evicted before its time because of this bound. */
  readonly onForgotten?: () => void
  /** Whether a user is let in while the adapter cannot be asked about it. */
  readonly whenUnavailable: 'admit' | 'refuse'
}

interface Denied { readonly subject: string, readonly until: number }

/** Denials that are checked for expiry when one is added. */
const SWEEP = 8

function refuseDenied (isDenied: boolean): void {
  if (isDenied) throw new Refusal('revoked')
}

/**
 * Users and tokens that are denied for a time: by the adapter on all nodes, and on this node whatever happens to the
 * adapter's server.
 */
export class Denials {
  readonly #options: DenialsOptions
  /**
   * Denials that this node has heard of, with their ends. They hold here whatever the adapter's server says, since it
   * may have lost them.
   */
  readonly #denied: Remembered<Denied>
  readonly #retention: Retention

  constructor (options: DenialsOptions) {
    this.#options = options
    this.#retention = new Retention(options.bytes)
    this.#denied = new Remembered(this.#retention)
  }

  /** @throws Refusal `revoked` */
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
   * Denies a user or a token from now on.
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
    // A denial that is over already need not be kept.
    if (until <= Date.now()) return
    await store.deny(subject, until)
    this.remember(subject, until)
  }

  /**
   * Remembers a denial that the adapter keeps.
   *
   * @param until Unix milliseconds
   */
  remember (subject: string, until: number): void {
    const now = Date.now()
    this.#retention.sweep(now, SWEEP)
    if (until <= (this.#denied.get(subject, now)?.until ?? now)) return
    const { evicted } = this.#retention
    // Each denial is its own owner, because they end at different times.
    this.#denied.set(subject, subject, { subject, until }, 0, until, now)
    if (this.#retention.evicted > evicted) this.#options.onForgotten?.()
  }

  /** Tells an adapter whose server has lost its data which denials this node remembers. */
  async restore (): Promise<void> {
    for (const { subject, until } of this.#denied.values(Date.now())) await this.#options.store?.deny(subject, until)
  }
}
