import { Remembered } from '../retention/remembered.js'
import { Retention } from '../retention/retention.js'
import type { AdapterHost, ClaimStore, Later } from './adapter.js'

const LIMITS = { bytes: 64 * 1024 * 1024, perUser: 4 * 1024 * 1024 }
/** Outcomes that are looked at for their end when one is stored. */
const SWEEP = 8
/** Milliseconds between two log lines about outcomes that had to go. */
const QUIET = 60_000

/**
 * Bounds the bytes of the outcomes that this node's users leave on a broker, whatever it is: over his own a user's oldest outcome is
 * given back there, over all together the oldest of one who holds most, so that a repeated message would run again. Only sizes are
 * kept here.
 */
export class BoundedClaims implements ClaimStore {
  readonly #store: ClaimStore
  #retention = new Retention(LIMITS.bytes)
  #kept = this.#remembered(LIMITS.perUser)
  #log: AdapterHost['log'] | undefined
  #forgotten = 0
  #told = 0
  #toldAt = Number.NEGATIVE_INFINITY

  constructor (store: ClaimStore) {
    this.#store = store
  }

  /** @param host the node whose bounds hold from now on */
  start ({ remembered: limits = LIMITS, log }: Pick<AdapterHost, 'remembered' | 'log'>): void {
    this.#log = log
    this.#retention = new Retention(limits.bytes)
    this.#kept = this.#remembered(limits.perUser)
  }

  /** outcomes that were given back before their time */
  get forgotten (): number { return this.#forgotten }
  get bytes (): number { return this.#retention.bytes }

  #remembered (perUser: number): Remembered<string> {
    return new Remembered(this.#retention, perUser, (key, hash) => { this.#giveBack(key, hash) })
  }

  #giveBack (key: string, hash: string): void {
    this.#forgotten++
    const given = this.#store.settle(key, hash, undefined, 0)
    // It ends by itself where the broker is away.
    if (given instanceof Promise) given.catch(() => undefined)
    const now = performance.now()
    if (now - this.#toldAt < QUIET) return
    this.#log?.warn({ forgotten: this.#forgotten - this.#told, bytes: this.bytes }, 'outcomes of messages were forgotten before their time: a repeated message may run again; raise limits.remembered, or lower the rate or the size of replies')
    this.#told = this.#forgotten
    this.#toldAt = now
  }

  claim (key: string, hash: string, lease: number, owner?: string, holder?: string): ReturnType<ClaimStore['claim']> {
    return this.#store.claim(key, hash, lease, owner, holder)
  }

  settle (key: string, hash: string, outcome: string | undefined, ttl: number, owner = '', holder?: string): Later<void> {
    const now = performance.now()
    this.#kept.sweep(now, SWEEP)
    if (outcome === undefined) this.#kept.delete(key, now)
    const settled = this.#store.settle(key, hash, outcome, ttl, owner, holder)
    if (outcome === undefined) return settled
    const keep = (): void => { this.#kept.set(owner, key, hash, outcome.length, performance.now() + ttl, performance.now()) }
    return settled instanceof Promise ? settled.then(keep) : keep()
  }

  put (key: string, value: string, ttl: number): Later<void> { return this.#store.put(key, value, ttl) }

  take (key: string): Later<string | undefined> { return this.#store.take(key) }
}
