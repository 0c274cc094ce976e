import { Losses } from '../../retention/losses.js'
import { Remembered } from '../../retention/remembered.js'
import { Retention } from '../../retention/retention.js'
import type { AdapterHost, ClaimStore } from '../adapter.js'
import type { Awaitable } from '../../structures/awaitable.js'
import { REMEMBERED } from '../../retention/bounds.js'
import { Sweeper } from '../../structures/sweeper.js'

/** Outcomes that are checked for expiry when one is stored. */
const SWEEP = 8
/** Outcomes and keys that one turn of the event loop examines beside that. */
const SLICE = 1_000
/** Bytes that a broker keeps for the key of a publication. */
const PUBLISHED = 100

/**
 * Bounds the bytes of the outcomes and idempotency keys that this node's users leave on a broker of any kind. Above the
 * bound of one user its oldest is deleted there, above the bound of all users the oldest of one that holds most; a
 * repeat of such a message runs again. This class keeps only their sizes.
 */
export class BoundedClaims implements ClaimStore {
  readonly #store: ClaimStore
  readonly #takeBack: (name: string) => Promise<unknown>
  #retention = new Retention(REMEMBERED.bytes)
  #kept = this.#remembered(REMEMBERED.perUser)
  #keys = this.#published(REMEMBERED.perUser)
  #log: AdapterHost['log'] | undefined
  readonly #sweeper = new Sweeper(() => this.#retention.sweep(performance.now(), SLICE))
  readonly #losses = new Losses(
    'outcomes of messages and idempotency keys were forgotten before their time: what is repeated may run again; raise limits.remembered, or lower the rate or the size of replies'
  )

  /** @param takeBack makes the broker forget the key of a publication, by the name that `published` was given */
  constructor (store: ClaimStore, takeBack: (name: string) => Promise<unknown> = async () => {}) {
    this.#store = store
    this.#takeBack = takeBack
  }

  /**
   * Begins to drop what has expired; `stop` ends it.
   *
   * @param host the node whose bounds hold from now on
   */
  start ({ remembered: limits = REMEMBERED, log }: Pick<AdapterHost, 'remembered' | 'log'>): void {
    this.#log = log
    this.#retention = new Retention(limits.bytes)
    this.#kept = this.#remembered(limits.perUser)
    this.#keys = this.#published(limits.perUser)
    this.#kept.onHeld = this.#keys.onHeld = limits.held
    this.#sweeper.start()
  }

  stop (): void { this.#sweeper.stop() }

  /** Number of outcomes and keys that were deleted before their time. */
  get forgotten (): number { return this.#losses.count }
  get bytes (): number { return this.#retention.bytes }

  #remembered (perUser: number): Remembered<string> {
    return new Remembered(this.#retention, perUser, (key, hash) => {
      this.#forgot(this.#store.settle(key, hash, undefined, 0))
    })
  }

  #published (perUser: number): Remembered<true> {
    return new Remembered(this.#retention, perUser, (name) => { this.#forgot(this.#takeBack(name)) })
  }

  #forgot (given: Awaitable<unknown>): void {
    this.#losses.add(this.#log, this.bytes)
    // Where the broker is away, the entry expires on its own.
    if (given instanceof Promise) given.catch(() => undefined)
  }

  /**
   * Tells that the broker keeps an idempotency key.
   *
   * @param name of the key there
   * @param owner the user or room that the key counts for
   * @param ttl milliseconds that it is kept
   */
  published (name: string, owner: string, ttl: number): void {
    const now = performance.now()
    this.#kept.sweep(now, SWEEP)
    this.#keys.set(owner, name, true, PUBLISHED, now + ttl, now)
  }

  claim (key: string, hash: string, lease: number, owner?: string, holder?: string): ReturnType<ClaimStore['claim']> {
    return this.#store.claim(key, hash, lease, owner, holder)
  }

  settle (
    key: string,
    hash: string,
    outcome: string | undefined,
    ttl: number,
    owner = '',
    holder?: string
  ): Awaitable<void> {
    const now = performance.now()
    this.#kept.sweep(now, SWEEP)
    if (outcome === undefined) this.#kept.delete(key, now)
    const settled = this.#store.settle(key, hash, outcome, ttl, owner, holder)
    if (outcome === undefined) return settled
    const keep = (): void => {
      this.#kept.set(owner, key, hash, Buffer.byteLength(outcome), performance.now() + ttl, performance.now())
    }
    return settled instanceof Promise ? settled.then(keep) : keep()
  }

  put (key: string, value: string, ttl: number): Awaitable<void> { return this.#store.put(key, value, ttl) }

  take (key: string): Awaitable<string | undefined> { return this.#store.take(key) }
}
