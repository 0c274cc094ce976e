import { setImmediate } from 'node:timers/promises'
import type { PresenceEntry, PresenceStore } from '../adapters/adapter.js'
import { keyOf } from '../protocol/key.js'
import { ShardedMap } from '../structures/sharded-map.js'
import { every } from '../structures/timers.js'

export interface PresenceOptions {
  /** milliseconds between a connection's end and its leave */
  readonly grace: number
  /** milliseconds that an entry outlives a node that died */
  readonly lease: number
}

/** Longest time between two looks for entries that have run out. */
const MAX_SWEEP = 5_000

/** Entries in one renewal: so many are gathered in one turn of the event loop. */
const BATCH = 500
/**
 * Entries that are to end and of which the store could not be told, how long they are remembered, and how many of them
 * are told at a time.
 */
const MAX_OWED = 10_000
const OWED = 1_800_000
const AT_ONCE = 500

interface Placed { readonly room: string, readonly entry: PresenceEntry }

/** Keeps the presence entries of this node's members alive, and sweeps the rooms that have members here. */
export class PresenceKeeper {
  readonly #store: PresenceStore
  readonly #options: PresenceOptions
  readonly #rooms: () => Iterable<string>
  readonly #onError: (error: unknown) => void
  readonly #entries = new ShardedMap<Placed>()
  readonly #owed = new Map<string, Placed & { readonly endsAt: number }>()
  #renewing: Promise<void> | undefined
  #isAsked = false
  #isSweeping = false
  #sweeper: NodeJS.Timeout | undefined
  #renewer: NodeJS.Timeout | undefined

  constructor (
    store: PresenceStore,
    options: PresenceOptions,
    rooms: () => Iterable<string>,
    onError: (error: unknown) => void
  ) {
    this.#store = store
    this.#options = options
    this.#rooms = rooms
    this.#onError = onError
  }

  start (): void {
    const { grace, lease } = this.#options
    const sweep = Math.max(20, Math.min(MAX_SWEEP, grace / 3))
    this.#sweeper = every(() => {
      this.#endOwed()
      this.#run(() => this.#sweep())
    }, sweep).unref()
    if (this.#store.renew === undefined) return
    this.#renewer = every(() => { this.#run(() => this.renew()) }, this.#store.renewal?.(lease) ?? lease / 3).unref()
  }

  /**
   * Prolongs the entries of this node's members, or makes them anew where the store has lost them. Resolves when that
   * is done for all who are here now; rejects when it failed for some.
   */
  async renew (): Promise<void> {
    // A renewal that is under way may have passed those who are to be renewed now.
    this.#isAsked = true
    this.#renewing ??= this.#renew().finally(() => { this.#renewing = undefined })
    await this.#renewing
  }

  stop (): void {
    clearInterval(this.#sweeper)
    clearInterval(this.#renewer)
  }

  /** One at a time: of very many rooms it may take longer than the time between two. */
  async #sweep (): Promise<void> {
    if (this.#isSweeping) return
    this.#isSweeping = true
    try {
      await this.#store.sweep(this.#rooms())
    } finally {
      this.#isSweeping = false
    }
  }

  async #renew (): Promise<void> {
    while (this.#isAsked) {
      this.#isAsked = false
      await this.#renewAll()
    }
  }

  async #renewAll (): Promise<void> {
    let batch: Placed[] = []
    for (const entry of this.#entries.values()) {
      batch.push(entry)
      if (batch.length < BATCH) continue
      await this.#renewSome(batch)
      await setImmediate()
      batch = []
    }
    if (batch.length > 0) await this.#renewSome(batch)
  }

  /** An entry that ended while it was being renewed may have been made anew by that, and nobody else would end it. */
  async #renewSome (batch: readonly Placed[]): Promise<void> {
    try {
      await this.#store.renew?.(batch, this.#options.lease)
    } finally {
      const endsAt = performance.now() + this.#options.grace
      for (const placed of batch) {
        const name = nameOf(placed.room, placed.entry)
        if (!this.#entries.has(name)) this.#end(placed, endsAt)
      }
    }
  }

  async join (room: string, entry: PresenceEntry): Promise<void> {
    this.#entries.set(nameOf(room, entry), { room, entry })
    this.#owed.delete(nameOf(room, entry))
    const joined = this.#store.join(room, entry, this.#options.lease)
    if (joined instanceof Promise) await joined
  }

  /** @param isMeant the peer said that it leaves: no grace */
  leave (room: string, entry: PresenceEntry, isMeant: boolean): void {
    this.#entries.delete(nameOf(room, entry))
    this.#end({ room, entry }, performance.now() + (isMeant ? 0 : this.#options.grace))
  }

  /** Nothing else ends an entry while its node lives: what the store could not be told it is told later. */
  #end (placed: Placed, endsAt: number): void {
    const { room, entry } = placed
    const owe = (error: unknown): void => {
      this.#onError(error)
      const name = nameOf(room, entry)
      // Joined again meanwhile; or long gone by itself.
      if (this.#entries.has(name) || performance.now() - endsAt > OWED) return
      this.#owed.set(name, { ...placed, endsAt })
      if (this.#owed.size > MAX_OWED) this.#owed.delete(this.#owed.keys().next().value!)
    }
    try {
      const left = this.#store.leave(room, entry, Math.max(0, endsAt - performance.now()))
      if (left instanceof Promise) left.catch(owe)
    } catch (error) {
      owe(error)
    }
  }

  #endOwed (): void {
    let count = 0
    for (const [name, placed] of this.#owed) {
      if (++count > AT_ONCE) break
      this.#owed.delete(name)
      this.#end(placed, placed.endsAt)
    }
  }

  /**
   * Another node keeps the entry alive from now on: the store leaves it to that one. Where it has not, because what was
   * heard is older than the last move, nobody would ever end it.
   */
  handOver (room: string, entry: PresenceEntry): void {
    if (this.#store.handOver === undefined) return this.leave(room, entry, false)
    this.#entries.delete(nameOf(room, entry))
    this.#run(() => this.#store.handOver!(room, entry))
  }

  #run (step: () => unknown): void {
    try {
      const result = step()
      if (result instanceof Promise) result.catch(this.#onError)
    } catch (error) {
      this.#onError(error)
    }
  }
}

function nameOf (room: string, { connection }: PresenceEntry): string {
  return keyOf(connection, room)
}
