import type { KV } from '@nats-io/kv'
import { setTimeout as delay } from 'node:timers/promises'
import type { Claim, ClaimStore, DenialStore, LeaseStore } from './adapter.js'
import { away, isConflict, isMissing, type NatsLink } from './nats-link.js'
import { stateKey } from './nats-tokens.js'
import { decodeClaim, decodeHolders, decodeValue, encodeHolders } from './stored.js'

/** Tries to change one key before it counts as too contended. */
const TRIES = 100

/** What a step makes of a value. */
export interface Step<T> {
  /** absent: nothing changes */
  readonly value?: string
  readonly result: T
}

/**
 * Small shared values in one KV bucket, each changed by compare and set: the server takes a change only if nobody else changed the key
 * since it was read, so that of two that race one sees what the other did. Times are those of the nodes' clocks.
 */
export class NatsState {
  readonly #link: NatsLink
  readonly #open: () => Promise<KV>
  #bucket: Promise<KV> | undefined

  constructor (link: NatsLink, open: () => Promise<KV>) {
    this.#link = link
    this.#open = open
  }

  /** The server may have lost its buckets: look again. */
  forget (): void { this.#bucket = undefined }

  async bucket (): Promise<KV> {
    if (!this.#link.isUp) throw away()
    if (this.#bucket === undefined) {
      const opening = this.#open()
      this.#bucket = opening
      opening.catch(() => { if (this.#bucket === opening) this.#bucket = undefined })
    }
    return await this.#bucket
  }

  async #ask<T> (ask: () => Promise<T>): Promise<T> {
    try {
      return await this.#link.attempt(ask)
    } catch (error) {
      if (!isMissing(error)) throw error
      this.forget()
      throw away()
    }
  }

  async read (key: string): Promise<string | undefined> {
    const bucket = await this.bucket()
    const entry = await this.#ask(() => bucket.get(key))
    return entry === null || entry.operation !== 'PUT' ? undefined : entry.string()
  }

  async write (key: string, value: string): Promise<number> {
    const bucket = await this.bucket()
    return await this.#ask(() => bucket.put(key, value))
  }

  async remove (key: string): Promise<void> {
    const bucket = await this.bucket()
    await this.#ask(() => bucket.delete(key))
  }

  /** @throws Refusal `unavailable` also when others changed the key too often meanwhile */
  async change<T> (key: string, step: (value: string | undefined) => Step<T>): Promise<T> {
    const bucket = await this.bucket()
    for (let tries = 0; tries < TRIES; tries++) {
      const entry = await this.#ask(() => bucket.get(key))
      const { value, result } = step(entry === null || entry.operation !== 'PUT' || entry.length === 0 ? undefined : entry.string())
      if (value === undefined) return result
      try {
        await this.#ask(() => entry === null ? bucket.create(key, value) : bucket.update(key, value, entry.revision))
        return result
      } catch (error) {
        if (!isConflict(error)) throw error
        await delay(Math.random() * Math.min(tries, 10) * 2)
      }
    }
    throw away()
  }
}

/** One key holds all holders of one limit, so that taking the last slot is one step. */
export function natsLeases (state: NatsState): LeaseStore {
  const living = (value: string | undefined): Map<string, number> => {
    const now = Date.now()
    const all = value === undefined ? undefined : decodeHolders(value)
    return new Map([...all ?? []].filter(([, until]) => until > now))
  }
  return {
    async acquire (key, holder, limit, ttl) {
      return await state.change(stateKey('lease', key), (value) => {
        const holders = living(value)
        if (holders.size >= limit && !holders.has(holder)) return { result: false }
        holders.set(holder, Date.now() + ttl)
        return { value: encodeHolders(holders), result: true }
      })
    },
    async renew (leases, ttl) {
      const byKey = new Map<string, string[]>()
      for (const { key, holder } of leases) {
        const holders = byKey.get(key)
        if (holders === undefined) byKey.set(key, [holder])
        else holders.push(holder)
      }
      await Promise.all([...byKey].map(([key, added]) => state.change(stateKey('lease', key), (value) => {
        const holders = living(value)
        for (const holder of added) holders.set(holder, Date.now() + ttl)
        return { value: encodeHolders(holders), result: undefined }
      })))
    },
    async release (key, holder) {
      await state.change(stateKey('lease', key), (value) => {
        const holders = living(value)
        return holders.delete(holder) ? { value: encodeHolders(holders), result: undefined } : { result: undefined }
      })
    },
    async count (key) { return living(await state.read(stateKey('lease', key))).size }
  }
}

export function natsClaims (state: NatsState): ClaimStore {
  const living = <T extends { readonly until: number }>(value: string | undefined, decode: (text: string) => T | undefined): T | undefined => {
    const known = value === undefined ? undefined : decode(value)
    return known !== undefined && known.until > Date.now() ? known : undefined
  }
  return {
    async claim (key, hash, lease): Promise<Claim> {
      return await state.change<Claim>(stateKey('claim', key), (value) => {
        const known = living(value, decodeClaim)
        if (known === undefined) return { value: JSON.stringify({ hash, until: Date.now() + lease }), result: { state: 'claimed' } }
        if (known.hash !== hash) return { result: { state: 'conflict' } }
        if (known.outcome !== undefined) return { result: { state: 'settled', outcome: known.outcome } }
        return { result: { state: 'running', retryAfter: known.until - Date.now() } }
      })
    },
    async settle (key, hash, outcome, ttl) {
      await state.change(stateKey('claim', key), (value) => {
        const known = living(value, decodeClaim)
        if (known !== undefined && known.hash !== hash) return { result: undefined }
        return { value: JSON.stringify({ hash, until: outcome === undefined ? 0 : Date.now() + ttl, outcome }), result: undefined }
      })
    },
    async put (key, value, ttl) { await state.write(stateKey('value', key), JSON.stringify({ value, until: Date.now() + ttl })) },
    async take (key) {
      return await state.change<string | undefined>(stateKey('value', key), (text) => {
        const known = living(text, decodeValue)
        return known === undefined ? { result: undefined } : { value: JSON.stringify({ until: 0 }), result: known.value }
      })
    }
  }
}

export function natsDenials (state: NatsState): DenialStore {
  return {
    async deny (subject, until) {
      await state.change(stateKey('denial', subject), (value) => Number(value ?? 0) >= until ? { result: undefined } : { value: String(until), result: undefined })
    },
    async isDenied (subjects) {
      const ends = await Promise.all(subjects.map((subject) => state.read(stateKey('denial', subject))))
      return ends.some((end) => Number(end ?? 0) > Date.now())
    }
  }
}
