import { Link, LinkedList } from './linked-list.js'
import { TokenBucket, type Rate } from './token-bucket.js'

/** Buckets that are checked for being full when one is added. */
const SWEEP = 4

interface Held { readonly key: string, readonly bucket: TokenBucket }

/**
 * Token buckets by key, as long as they are not full: a full bucket equals none. Beyond the bound the one that was
 * asked for longest ago is forgotten.
 */
export class Buckets {
  readonly #most: number
  readonly #buckets = new Map<string, Link<Held>>()
  /** The one that was asked for longest ago comes first. */
  readonly #order = new LinkedList<Held>()

  constructor (most: number) {
    this.#most = most
  }

  get size (): number { return this.#buckets.size }

  /**
   * @param now milliseconds of a monotonic clock
   * @param own the bucket where the caller has kept it, which counts though it was forgotten here
   */
  of (key: string, rate: Rate, now: number, own = new TokenBucket(rate, now)): TokenBucket {
    let link = this.#buckets.get(key)
    if (link === undefined) {
      this.#makeRoom(now)
      link = new Link({ key, bucket: own })
      this.#buckets.set(key, link)
    }
    this.#order.push(link)
    return link.item.bucket
  }

  #makeRoom (now: number): void {
    for (let looked = 0; looked < SWEEP; looked++) {
      const { first } = this.#order
      if (first === undefined || (this.#buckets.size < this.#most && !first.item.bucket.isFull(now))) return
      first.remove()
      this.#buckets.delete(first.item.key)
    }
  }
}
