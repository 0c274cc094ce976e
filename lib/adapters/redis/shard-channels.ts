import { after } from '../../structures/timers.js'
import { byShard } from './shards.js'

export interface ShardChannelsOptions {
  /** Channels that are meant to be subscribed. */
  readonly channels: ReadonlyMap<string, unknown>
  readonly shardOf: (channel: string) => string
  /** Ends the subscription and begins it again, in one go. */
  readonly subscribe: (channel: string) => Promise<unknown>
  readonly isUp: () => boolean
  /** Called when some subscriptions stand again: what was sent to them meanwhile may have been missed. */
  readonly onSettled: () => void
}

/** Channels of one shard that are asked for at a time. */
const BATCH = 500
/**
 * Milliseconds until the subscriptions of a cluster are checked again: its connections restore them on their own, do
 * not say when, and do not report what a shard refuses that is not ready yet.
 */
const SETTLED = 1_000

/**
 * Makes the subscriptions of a cluster stand again after its connections have changed, each shard by itself, so that
 * one that does not answer is asked again for its own channels and for no others.
 */
export class ShardChannels {
  readonly #options: ShardChannelsOptions
  /** Channels of which it is not known whether they are subscribed. */
  #unsettled: ReadonlySet<string> | undefined
  #isSettling = false
  #isClosed = false
  #timer: NodeJS.Timeout | undefined

  constructor (options: ShardChannelsOptions) {
    this.#options = options
  }

  /** Connections have changed: nothing is known of any subscription. */
  changed (): void {
    this.#unsettled = undefined
    this.#later()
  }

  close (): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #later (): void {
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    this.#timer = after(() => { void this.#settle() }, SETTLED).unref()
  }

  async #settle (): Promise<void> {
    const { channels, isUp, onSettled } = this.#options
    if (this.#isSettling || !isUp()) {
      this.#later()
      return
    }
    this.#isSettling = true
    const left = new Set(this.#unsettled ?? channels.keys())
    const before = left.size
    this.#unsettled = left
    await Promise.all((await byShard(left, this.#options.shardOf)).map((some) => this.#restore(some, left)))
    this.#isSettling = false
    if (this.#isClosed) return
    if (left.size < before || before === 0) onSettled()
    // The connections have not changed meanwhile, so only these are left.
    if (left.size > 0 && this.#unsettled === left) this.#later()
  }

  /** Stops where the shard does not answer; never rejects. */
  async #restore (some: readonly string[], left: Set<string>): Promise<void> {
    const { channels, subscribe } = this.#options
    for (let index = 0; index < some.length; index += BATCH) {
      const batch = some.slice(index, index + BATCH)
      const answers = await Promise.allSettled(batch.filter((channel) => channels.has(channel)).map(subscribe))
      if (answers.some(({ status }) => status === 'rejected')) return
      for (const channel of batch) left.delete(channel)
    }
  }
}
