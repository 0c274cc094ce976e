import { newEpoch } from '../history/stream.js'
import type { Keys } from './keys.js'
import type { RedisLink } from './link.js'
import { probesOf } from './shards.js'

/**
 * Notices that one shard of a cluster has lost its data, which nothing else would show for slots of limits that are
 * kept there: each shard has a mark, and another one means that the data is other data. A mark moves with its slot.
 */
export class ShardMarks {
  readonly #link: Pick<RedisLink, 'slots' | 'call'>
  readonly #keys: Keys
  readonly #onForgotten: () => void
  /** By hash tag. */
  #known: ReadonlyMap<string, string> = new Map()
  #isLooking = false

  constructor (link: Pick<RedisLink, 'slots' | 'call'>, keys: Keys, onForgotten: () => void) {
    this.#link = link
    this.#keys = keys
    this.#onForgotten = onForgotten
  }

  /** Compares the marks of all shards that can be asked; never rejects. */
  async look (): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    const known = this.#known
    let isOther = false
    const found = await Promise.all(probesOf(this.#link.slots ?? []).map(async ({ tag }) => {
      const before = known.get(tag)
      const mark = await this.#read(tag).catch(() => before)
      isOther ||= before !== undefined && mark !== before
      return mark === undefined ? [] : [[tag, mark] as const]
    }))
    this.#known = new Map(found.flat())
    this.#isLooking = false
    if (isOther) this.#onForgotten()
  }

  async #read (tag: string): Promise<string> {
    const mine = newEpoch()
    const mark = await this.#link.call('SET', this.#keys.shardMark(tag), mine, 'NX', 'GET')
    return typeof mark === 'string' ? mark : mine
  }
}
