import type { KV } from '@nats-io/kv'
import { setTimeout as delay } from 'node:timers/promises'
import type { Claim, ClaimStore, DenialStore, LeaseStore } from './adapter.js'
import type { NatsClock, Stamp } from './nats-clock.js'
import { away, isConflict, isMissing, type BucketOptions, type NatsLink } from './nats-link.js'
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

/** Keys that are changed at a time: the rest waits, so that thousands at once do not stand in each other's way. */
const MAX_UNDER_WAY = 64

interface Waiting {
  readonly since: number
  readonly run: (value: string | undefined) => string | undefined
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Small shared values in one KV bucket, each changed by compare and set: the server takes a change only if nobody else changed the key
 * since it was read, so that of two that race one sees what the other did. Changes that this node makes to one key meanwhile are made
 * together, in their order.
 */
export class NatsState {
  readonly #link: NatsLink
  readonly #name: string
  readonly #plan: BucketOptions
  readonly #waiting = new Map<string, Waiting[]>()
  readonly #line: Array<() => void> = []
  #free = MAX_UNDER_WAY
  #bucket: Promise<KV> | undefined

  constructor (link: NatsLink, name: string, plan: BucketOptions) {
    this.#link = link
    this.#name = name
    this.#plan = plan
  }

  /** The server may have lost its buckets: look again. */
  forget (): void { this.#bucket = undefined }

  async #opened (): Promise<KV> {
    if (!this.#link.isUp) throw away()
    if (this.#bucket === undefined) {
      const opening = this.#link.bucket(this.#name, this.#plan)
      this.#bucket = opening
      opening.catch(() => { if (this.#bucket === opening) this.#bucket = undefined })
    }
    return await this.#bucket
  }

  /** A bucket that is found missing is made anew, and asked again. */
  async #ask<T> (ask: (bucket: KV) => Promise<T>): Promise<T> {
    for (let isAgain = false; ; isAgain = true) {
      try {
        const bucket = await this.#opened()
        return await this.#link.attempt(() => ask(bucket))
      } catch (error) {
        if (!isMissing(error)) throw error
        this.forget()
        if (isAgain) throw away()
      }
    }
  }

  async read (key: string): Promise<string | undefined> {
    const entry = await this.#ask((bucket) => bucket.get(key))
    return entry === null || entry.operation !== 'PUT' || entry.length === 0 ? undefined : entry.string()
  }

  /** Writes, whatever is there. @returns its number among all changes of the bucket */
  async write (key: string, value: string): Promise<number> {
    return await this.#ask((bucket) => bucket.put(key, value))
  }

  /** Writes, and asks who keeps the bucket when that was. */
  async stamp (key: string): Promise<Stamp> {
    const seq = await this.write(key, '')
    const writtenAt = performance.now()
    const kept = await this.#link.attempt(() => this.#link.jsm.streams.getMessage(`KV_${this.#name}`, { seq }))
    if (kept === null) throw away()
    return { writtenAt, time: kept.time.getTime() }
  }

  /** @throws Refusal `unavailable` also when others changed the key too often meanwhile */
  async change<T> (key: string, step: (value: string | undefined) => Step<T>): Promise<T> {
    let result: { readonly of: T } | undefined
    const run = (value: string | undefined): string | undefined => {
      const done = step(value)
      result = { of: done.result }
      return done.value
    }
    await new Promise<void>((resolve, reject) => {
      const one = { since: performance.now(), run, resolve, reject }
      const others = this.#waiting.get(key)
      if (others !== undefined) others.push(one)
      else {
        this.#waiting.set(key, [one])
        void this.#work(key)
      }
    })
    return result!.of
  }

  /** Makes the changes of one key until none is left. Never rejects. */
  async #work (key: string): Promise<void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => { this.#line.push(resolve) })
    for (let batch = this.#waiting.get(key)!; batch.length > 0; batch = this.#waiting.get(key)!) {
      this.#waiting.set(key, [])
      // Who has waited for as long as an answer may take is not kept waiting for another.
      const oldest = performance.now() - this.#link.timeout
      const late = batch.filter(({ since }) => since < oldest)
      const now = batch.filter(({ since }) => since >= oldest)
      for (const { reject } of late) reject(away())
      try {
        if (now.length > 0) await this.#apply(key, now)
        for (const { resolve } of now) resolve()
      } catch (error) {
        for (const { reject } of now) reject(error)
      }
    }
    this.#waiting.delete(key)
    const next = this.#line.shift()
    if (next === undefined) this.#free++
    else next()
  }

  async #apply (key: string, batch: readonly Waiting[]): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const entry = await this.#ask((bucket) => bucket.get(key))
      const before = entry === null || entry.operation !== 'PUT' || entry.length === 0 ? undefined : entry.string()
      let value: string | undefined
      for (const { run } of batch) value = run(value ?? before) ?? value
      if (value === undefined) return
      const changed = value
      try {
        await this.#ask((bucket) => entry === null ? bucket.create(key, changed) : bucket.update(key, changed, entry.revision))
        return
      } catch (error) {
        if (!isConflict(error)) throw error
        await delay(Math.random() * Math.min(tries, 10) * 2)
      }
    }
    throw away()
  }
}

/** One key holds all holders of one limit, so that taking the last slot is one step. */
export function natsLeases (state: NatsState, clock: NatsClock): LeaseStore {
  const living = (value: string | undefined): Map<string, number> => {
    const now = clock.now()
    const all = value === undefined ? undefined : decodeHolders(value)
    return new Map([...all ?? []].filter(([, until]) => until > now))
  }
  return {
    async acquire (key, holder, limit, ttl) {
      return await state.change(stateKey('lease', key), (value) => {
        const holders = living(value)
        if (holders.size >= limit && !holders.has(holder)) return { result: false }
        holders.set(holder, clock.now() + ttl)
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
        for (const holder of added) holders.set(holder, clock.now() + ttl)
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

export function natsClaims (state: NatsState, clock: NatsClock): ClaimStore {
  const living = <T extends { readonly until: number }>(value: string | undefined, decode: (text: string) => T | undefined): T | undefined => {
    const known = value === undefined ? undefined : decode(value)
    return known !== undefined && known.until > clock.now() ? known : undefined
  }
  return {
    async claim (key, hash, lease): Promise<Claim> {
      return await state.change<Claim>(stateKey('claim', key), (value) => {
        const known = living(value, decodeClaim)
        if (known === undefined) return { value: JSON.stringify({ hash, until: clock.now() + lease }), result: { state: 'claimed' } }
        if (known.hash !== hash) return { result: { state: 'conflict' } }
        if (known.outcome !== undefined) return { result: { state: 'settled', outcome: known.outcome } }
        return { result: { state: 'running', retryAfter: known.until - clock.now() } }
      })
    },
    async settle (key, hash, outcome, ttl) {
      await state.change(stateKey('claim', key), (value) => {
        const known = living(value, decodeClaim)
        if (known !== undefined && known.hash !== hash) return { result: undefined }
        return { value: JSON.stringify({ hash, until: outcome === undefined ? 0 : clock.now() + ttl, outcome }), result: undefined }
      })
    },
    async put (key, value, ttl) { await state.write(stateKey('value', key), JSON.stringify({ value, until: clock.now() + ttl })) },
    async take (key) {
      return await state.change<string | undefined>(stateKey('value', key), (text) => {
        const known = living(text, decodeValue)
        return known === undefined ? { result: undefined } : { value: JSON.stringify({ until: 0 }), result: known.value }
      })
    }
  }
}

export function natsDenials (state: NatsState, clock: NatsClock): DenialStore {
  return {
    async deny (subject, until) {
      const end = Math.round(clock.shared(until))
      await state.change(stateKey('denial', subject), (value) => Number(value ?? 0) >= end ? { result: undefined } : { value: String(end), result: undefined })
    },
    async isDenied (subjects) {
      const ends = await Promise.all(subjects.map((subject) => state.read(stateKey('denial', subject))))
      return ends.some((end) => Number(end ?? 0) > clock.now())
    }
  }
}
