import { setImmediate } from 'node:timers/promises'
import type { PresenceEntry, PresenceStore } from '../adapters/adapter.js'
import { keyOf } from '../protocol/key.js'
import { every } from '../timers.js'

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

/** Keeps the presence entries of this node's members alive, and sweeps the rooms that have members here. */
export class PresenceKeeper {
  readonly #store: PresenceStore
  readonly #options: PresenceOptions
  readonly #rooms: () => Iterable<string>
  readonly #onError: (error: unknown) => void
  readonly #entries = new Map<string, { room: string, entry: PresenceEntry }>()
  #isRenewing = false
  #sweeper: NodeJS.Timeout | undefined
  #renewer: NodeJS.Timeout | undefined

  constructor (store: PresenceStore, options: PresenceOptions, rooms: () => Iterable<string>, onError: (error: unknown) => void) {
    this.#store = store
    this.#options = options
    this.#rooms = rooms
    this.#onError = onError
  }

  start (): void {
    const { grace, lease } = this.#options
    const sweep = Math.max(20, Math.min(MAX_SWEEP, grace / 3))
    this.#sweeper = every(() => { this.#run(() => this.#store.sweep(this.#rooms())) }, sweep).unref()
    if (this.#store.renew === undefined) return
    this.#renewer = every(() => { this.renew() }, lease / 3).unref()
  }

  /** Prolongs the entries of this node's members, or makes them anew where the store has lost them. */
  renew (): void {
    if (this.#store.renew !== undefined && this.#entries.size > 0) this.#run(() => this.#renew())
  }

  stop (): void {
    clearInterval(this.#sweeper)
    clearInterval(this.#renewer)
  }

  async #renew (): Promise<void> {
    if (this.#isRenewing) return
    this.#isRenewing = true
    try {
      let batch: Array<{ room: string, entry: PresenceEntry }> = []
      for (const entry of this.#entries.values()) {
        batch.push(entry)
        if (batch.length < BATCH) continue
        await this.#store.renew!(batch, this.#options.lease)
        await setImmediate()
        batch = []
      }
      if (batch.length > 0) await this.#store.renew!(batch, this.#options.lease)
    } finally {
      this.#isRenewing = false
    }
  }

  async join (room: string, entry: PresenceEntry): Promise<void> {
    this.#entries.set(nameOf(room, entry), { room, entry })
    const joined = this.#store.join(room, entry, this.#options.lease)
    if (joined instanceof Promise) await joined
  }

  /** @param isMeant the peer said that it leaves: no grace */
  leave (room: string, entry: PresenceEntry, isMeant: boolean): void {
    this.#entries.delete(nameOf(room, entry))
    this.#run(() => this.#store.leave(room, entry, isMeant ? 0 : this.#options.grace))
  }

  /** Another node keeps the entry alive from now on. */
  forget (room: string, entry: PresenceEntry): void { this.#entries.delete(nameOf(room, entry)) }

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
