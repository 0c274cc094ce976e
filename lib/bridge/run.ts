import { KeyedQueue } from '../structures/keyed-queue.js'
import type { Awaitable } from '../structures/awaitable.js'
import { Commits, type Taken } from './commits.js'
import { broadcastOf, type Broadcast, type BridgeSettings } from './options.js'
import { Pauses } from '../structures/pauses.js'
import type { BridgedEvent, BridgeStats, BridgeTarget } from './types.js'
import { retryAfterOf, verdict } from './verdict.js'

export interface BridgeParts<T> extends BridgeSettings<T> {
  readonly target: BridgeTarget
  readonly source: AsyncIterable<T> | Iterable<T>
  readonly map: (record: T) => Awaitable<BridgedEvent | undefined>
}

/** Carries the records of one source to their rooms, once. */
export class BridgeRun<T> {
  readonly #parts: BridgeParts<T>
  readonly #commits: Commits<T>
  /** Broadcasts of a room wait for each other; a room is known while one of them runs. */
  readonly #rooms = new KeyedQueue()
  readonly #pauses = new Pauses()
  readonly #counts = { read: 0, accepted: 0, passedOver: 0, refused: 0, retried: 0 }
  #underWay = 0
  #isStopped = false
  #failure: { readonly error: unknown } | undefined
  /** Looks again whether what `#until` waits for has come. */
  #look: (() => void) | undefined
  /** Ends the wait for what the application or the source may never give. */
  #interrupt: (() => void) | undefined

  constructor (parts: BridgeParts<T>) {
    this.#parts = parts
    this.#commits = new Commits({
      commit: parts.commit,
      onProgress: () => { this.#look?.() },
      onError: (error) => { this.#fail(error) }
    })
  }

  get stats (): BridgeStats {
    return { ...this.#counts, committed: this.#commits.committed, inFlight: this.#commits.size }
  }

  async run (): Promise<BridgeStats> {
    const { signal } = this.#parts
    const stop = (): void => { this.#stop() }
    signal?.addEventListener('abort', stop, { once: true })
    if (signal?.aborted === true) stop()
    let broken: { readonly error: unknown } | undefined
    try {
      await this.#readAll()
    } catch (error) {
      // What was read before is not the worse for it.
      broken = { error }
    }
    await this.#until(() => this.#isStopped || this.#commits.size === 0)
    await this.#until(() => this.#underWay === 0 && !this.#commits.isCommitting)
    signal?.removeEventListener('abort', stop)
    const failure = this.#failure ?? broken
    if (failure !== undefined) throw failure.error
    return this.stats
  }

  #stop (): void {
    this.#isStopped = true
    this.#pauses.end()
    this.#interrupt?.()
    this.#look?.()
  }

  #fail (error: unknown): void {
    this.#failure ??= { error }
    this.#stop()
  }

  async #until (condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => { this.#look = resolve })
  }

  /** Resolves with nothing when the bridge is stopped before. */
  async #unlessStopped<V> (ask: () => Awaitable<V>): Promise<V | undefined> {
    return await new Promise<V | undefined>((resolve, reject) => {
      this.#interrupt = () => { resolve(undefined) }
      if (this.#isStopped) resolve(undefined)
      else Promise.resolve().then(ask).then(resolve, reject)
    })
  }

  async #readAll (): Promise<void> {
    const { source, inFlight } = this.#parts
    const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
    for (;;) {
      await this.#until(() => this.#isStopped || this.#commits.size < inFlight)
      const next = await this.#unlessStopped(() => iterator.next())
      if (next === undefined || this.#isStopped) break
      if (next.done === true) return
      await this.#take(next.value)
    }
    // A generator that waits returns when its wait is over, which may be never.
    void Promise.resolve().then(() => iterator.return?.()).catch(() => undefined)
  }

  async #take (record: T): Promise<void> {
    this.#counts.read++
    const taken = this.#commits.add(record)
    let broadcast: Broadcast
    try {
      const made = await this.#unlessStopped(() => this.#parts.map(record))
      if (this.#isStopped) return
      if (made === undefined) {
        this.#counts.passedOver++
        this.#commits.settle(taken)
        return
      }
      broadcast = broadcastOf(made)
    } catch (error) {
      await this.#refuse(taken, error)
      return
    }
    this.#rooms.run(broadcast.room, async () => { await this.#send(taken, broadcast) }, Number.POSITIVE_INFINITY)
  }

  async #send (taken: Taken<T>, broadcast: Broadcast): Promise<void> {
    this.#underWay++
    try {
      for (let attempt = 0; !this.#isStopped; attempt++) {
        if (await this.#attempt(taken, broadcast, attempt)) break
      }
    } catch (error) {
      // The application's `backoff` has thrown.
      this.#fail(error)
    }
    this.#underWay--
    this.#look?.()
  }

  /** @returns whether the record needs no further attempt */
  async #attempt (taken: Taken<T>, { room, event, data, options }: Broadcast, attempt: number): Promise<boolean> {
    try {
      await this.#parts.target.broadcast(room, event, data, options)
    } catch (error) {
      const what = verdict(error)
      if (what === 'again') {
        this.#counts.retried++
        await this.#pauses.wait(Math.max(this.#parts.backoff(attempt), retryAfterOf(error)))
        return false
      }
      if (what === 'stop') this.#fail(error)
      else await this.#refuse(taken, error)
      return true
    }
    this.#counts.accepted++
    this.#commits.settle(taken)
    return true
  }

  async #refuse (taken: Taken<T>, error: unknown): Promise<void> {
    try {
      await this.#parts.onRefused(taken.record, error)
    } catch (thrown) {
      this.#fail(thrown)
      return
    }
    this.#counts.refused++
    this.#commits.settle(taken)
  }
}
