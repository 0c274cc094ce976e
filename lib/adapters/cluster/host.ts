import { randomBytes } from 'node:crypto'
import { isFields } from '../broker/stored.js'
import type { MemoryOptions } from '../memory/adapter.js'
import { REALTIME_ERR_OPTIONS } from '../../errors/misuse.js'
import { checkClusterHost } from '../options.js'
import { listenToWorkers, localChannel, type Channel, type WorkerChannel } from './channels.js'
import { batchOf, Line, VERSION, type Batch } from './line.js'
import { Space, type Joining, type SpaceOptions } from './space.js'

/** Options of `hostCluster()`. What is unknown or wrong is refused with `REALTIME_ERR_OPTIONS`. */
export interface ClusterHostOptions extends Omit<MemoryOptions, 'now'> {
  /**
   * Characters that may wait for one worker, default 33 554 432. One that is further behind misses events, which it
   * reads again when it has caught up; one that is as far behind in what cannot be read again is ended.
   */
  readonly waiting?: number
}

/** What `hostCluster()` returns. */
export interface ClusterHost {
  /** Numbers by the name of each application: workers, rooms, bytes, and what had to be given up. */
  stats (): Record<string, Record<string, number>>
  /**
   * Stops to serve. Workers are told so and end their adapters, since what they shared is lost: start them again behind
   * another `hostCluster()`.
   */
  close (): Promise<void>
}

const WAITING = 33_554_432
/** Applications that share the workers of one primary, and adapters of one worker. */
const MAX_SPACES = 16
const MAX_TAGS = 64

/** Serves the adapters of all workers. */
export class Host implements ClusterHost {
  readonly #options: SpaceOptions
  readonly #spaces = new Map<string, Space>()
  /** The adapters of each worker, with the name of the application of each. */
  readonly #workers = new Map<object, Map<string, string>>()
  #off: (() => void) | undefined

  constructor (options: ClusterHostOptions = {}) {
    checkClusterHost(options)
    this.#options = { ...options, waiting: options.waiting ?? WAITING }
  }

  /** Listens to the workers of this process; a second call changes nothing. */
  listen (): void {
    this.#off ??= listenToWorkers({
      message: (worker, channel, message) => { this.#heard(worker, channel, message) },
      gone: (worker) => { this.#gone(worker) }
    })
  }

  /** A channel to this host for an adapter of this process. */
  local (): Channel {
    return localChannel((channel) => {
      const worker = {}
      return {
        message: (given) => { this.#heard(worker, channel, given) },
        gone: () => { this.#gone(worker) }
      }
    })
  }

  stats (): Record<string, Record<string, number>> {
    return Object.fromEntries([...this.#spaces].map(([name, space]) => [name, space.stats()]))
  }

  async close (): Promise<void> {
    this.#off?.()
    this.#off = undefined
    this.#workers.clear()
    const spaces = [...this.#spaces]
    // An adapter that comes meanwhile gets a space of its own, since one that closes serves nobody.
    this.#spaces.clear()
    await Promise.all(spaces.map(async ([name, space]) => {
      await space.close((tag, channel) => { channel.post(noteOf(name, tag, ['gone'])) })
    }))
  }

  #heard (worker: object, channel: WorkerChannel, message: unknown): void {
    const batch = batchOf(message)
    if (batch === undefined) return
    const { realtime, name, tag } = batch
    if (realtime !== VERSION) {
      // Whatever it is, it learns that they do not understand each other.
      channel.post(noteOf(name, tag))
      return
    }
    const [first] = batch.items as [unknown?]
    if (Array.isArray(first) && first[0] === 'hello') this.#joined(worker, channel, batch, first[1])
    else if (Array.isArray(first) && first[0] === 'bye') this.#left(worker, tag)
    else {
      const space = this.#spaces.get(name)
      // What another host has served has to be told, since it would wait for answers for ever.
      if (space?.has(tag) === true) space.take(tag, batch)
      else channel.post(noteOf(name, tag, ['gone']))
    }
  }

  #joined (worker: object, channel: WorkerChannel, { name, tag }: Batch, given: unknown): void {
    const joining = joiningOf(given)
    const tags = this.#workers.get(worker) ?? new Map<string, string>()
    const isFull = tags.size >= MAX_TAGS || (this.#spaces.size >= MAX_SPACES && !this.#spaces.has(name))
    if (joining === undefined) return
    if (isFull && !tags.has(tag)) {
      channel.post(noteOf(name, tag, ['full', MAX_SPACES, MAX_TAGS]))
      return
    }
    this.#workers.set(worker, tags)
    tags.set(tag, name)
    let space = this.#spaces.get(name)
    if (space === undefined) {
      space = new Space(this.#options, joining.remembered)
      this.#spaces.set(name, space)
    }
    if (!space.has(tag)) {
      const line = new Line({
        name,
        tag,
        post: (batch) => { channel.post(batch) },
        onEmpty: () => { space.caughtUp(tag) }
      })
      space.join(tag, joining, line, channel)
    }
    channel.post(noteOf(name, tag, ['ready']))
  }

  #left (worker: object, tag: string): void {
    const tags = this.#workers.get(worker)
    const name = tags?.get(tag)
    if (name === undefined) return
    tags!.delete(tag)
    if (tags!.size === 0) this.#workers.delete(worker)
    this.#spaces.get(name)?.gone(tag)
    // Without workers it is there for the adapters of this process alone.
    if (this.#off === undefined && this.#workers.size === 0) void this.close()
  }

  #gone (worker: object): void {
    for (const tag of [...this.#workers.get(worker)?.keys() ?? []]) this.#left(worker, tag)
  }
}

/** What is said beside the numbered batches of an adapter. */
function noteOf (name: string, tag: string, ...items: readonly unknown[]): Batch {
  return { realtime: VERSION, name, tag, number: 0, at: 0, items }
}

function joiningOf (value: unknown): Joining | undefined {
  if (!isFields(value)) return undefined
  const { id, timeout, remembered } = value
  if (typeof id !== 'string' || typeof timeout !== 'number') return undefined
  if (!isFields(remembered)) return { id, timeout }
  const { bytes, perUser } = remembered
  return typeof bytes === 'number' && typeof perUser === 'number'
    ? { id, timeout, remembered: { bytes, perUser } }
    : { id, timeout }
}

/** The one host of this process, for its workers and for adapters of its own. */
let own: Host | undefined

/** @returns a channel to the host of this process, which is made where there is none */
export function ownChannel (): Channel {
  own ??= new Host()
  return own.local()
}

/** A name for an adapter among all adapters of all workers. */
export function newTag (): string { return randomBytes(9).toString('base64url') }

/**
 * Makes this process the one that keeps what its workers share: streams, presence, limits, message ids. Call it in the
 * primary of `node:cluster`, or in the main thread, before the first worker is started. It serves all of them, those of
 * `node:cluster` and those of `node:worker_threads`.
 *
 * @throws REALTIME_ERR_OPTIONS for a wrong option, and where this process has a host already
 */
export function hostCluster (options: ClusterHostOptions = {}): ClusterHost {
  if (own !== undefined) {
    throw new REALTIME_ERR_OPTIONS('this process has a host already: call hostCluster() once, before any adapter is made')
  }
  const host = new Host(options)
  own = host
  host.listen()
  return {
    stats: () => host.stats(),
    close: async () => {
      if (own === host) own = undefined
      await host.close()
    }
  }
}
