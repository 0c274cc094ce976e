import type { KV, KvEntry } from '@nats-io/kv'
import { setTimeout as delay } from 'node:timers/promises'
import { publishBehind } from './behind.js'
import { Refusal } from '../../errors/refusal.js'
import type { Stamp } from './clock.js'
import { away, isConflict, isMissing, type BucketOptions, type NatsLink } from './link.js'
import { Declined, isAway, type Asking } from '../broker/standing.js'
import { OrderedMap } from '../../structures/ordered-map.js'
import { subjectOf } from './tokens.js'
import { isNewer } from '../broker/stored.js'
import type { Unread } from '../broker/unread.js'

/** Milliseconds between two requests to a bucket that has no leader. */
const AGAIN = 50
/** Milliseconds after which a bucket that keeps its values longer by now is looked at again. */
const SETTLED = 200
const NANOS = 1_000_000
/** Attempts to change one key before it counts as too contended. */
const TRIES = 100

/** The result of a step on a value. */
export interface Step<T> {
  /** The new value; absent when nothing changes. */
  readonly value?: string
  readonly result: T
}

/** Keys that are changed at a time; the others wait, so that thousands at once do not slow each other down. */
const MAX_UNDER_WAY = 64

/** Values that are remembered as this node wrote them, and changes without an answer. */
const MAX_WRITTEN = 20_000
/** Characters of a value that is worth remembering; a large one is rare. */
const MAX_REMEMBERED = 1_000

/** Milliseconds for which a server that has accepted a message counts as the one that leads. */
const LED = 1_000

/** A change by this node; without the value where that is too large to be remembered. */
interface Written {
  readonly value: string | undefined
  readonly revision: number
  /** When it was sent, by `performance.now()`. */
  readonly at: number
}

/** What this node knows of the data of the bucket, for as long as it is the same data. */
interface Data {
  /** The highest number that this node was given. */
  newest: number
  /** This node's newest stamp that was answered: how many it had sent by then, and the stamp's number. */
  stamp: { readonly count: number, readonly revision: number } | undefined
}

interface Waiting {
  readonly since: number
  /** Whether a caller waits for it who was promised an answer within the time of one request. */
  readonly isUrgent: boolean
  readonly run: (value: string | undefined) => string | undefined
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Small shared values in one KV bucket, each changed by compare and set: the server accepts a change only if no other
 * node has changed the key since it was read, so that of two changes at once one sees what the other did. Changes that
 * this node makes to one key meanwhile are made together, in their order.
 */
export class NatsState {
  readonly #link: NatsLink
  /** The name of the bucket. */
  readonly name: string
  readonly #plan: BucketOptions
  readonly #waiting = new Map<string, Waiting[]>()
  readonly #line: Array<() => void> = []
  /** Behind all callers in the line. */
  readonly #later: Array<() => void> = []
  /** Time of the last request that was not answered, by the clock of the link. */
  #failedAt = Number.NEGATIVE_INFINITY
  /**
   * What this node wrote last, oldest first: as long as no other node has changed it, it need not be read to be
   * changed.
   */
  readonly #written = new OrderedMap<Written>()
  /** Revisions of changes by this node that got no answer and may still be accepted. */
  readonly #unsure = new OrderedMap<number>()
  #free = MAX_UNDER_WAY
  readonly #onForgotten: () => void
  readonly #onOpened: (stream: string) => void
  #bucket: Promise<KV> | undefined
  /** Milliseconds that values are needed, as far as that was told; 0 where what the bucket is made with is enough. */
  #lasting = 0
  #data: Data = { newest: 0, stamp: undefined }
  /** Stamps that were sent, answered or not. */
  #stamps = 0
  /** When the newest message was sent that a leader has accepted as proof, by `performance.now()`. */
  #ledAt = Number.NEGATIVE_INFINITY
  #proving: Promise<void> | undefined

  /**
   * @param onForgotten called when the bucket no longer has its data
   * @param onOpened called with the name of the bucket's stream when it is there
   */
  constructor (
    link: NatsLink,
    name: string,
    plan: BucketOptions,
    onForgotten: () => void = () => {},
    onOpened: (stream: string) => void = () => {}
  ) {
    this.#onForgotten = onForgotten
    this.#onOpened = onOpened
    this.#link = link
    this.name = name
    this.#plan = plan
  }

  /** The name of the bucket's stream. */
  get stream (): string { return `KV_${this.name}` }

  /**
   * Forgets the bucket, which the server may have lost: it is opened again.
   *
   * @param isOther whether it is known that the data may be other data
   */
  forget (isOther = false): void {
    this.#bucket = undefined
    this.#written.clear()
    if (isOther) this.#data = { newest: 0, stamp: undefined }
  }

  /**
   * Tells how long a value that is written from now on is needed. A bucket that keeps its values shorter is changed
   * first, and never back: other nodes may need theirs for longer.
   */
  lasts (ttl: number): void {
    if (ttl <= this.#lasting) return
    this.#lasting = Math.max(Math.ceil(ttl), this.#plan.ttl)
    this.#bucket = undefined
  }

  /** Called when the bucket was emptied, created again, or has older data than before. */
  #wentBack (): void {
    this.forget(true)
    this.#onForgotten()
  }

  async #opened (): Promise<KV> {
    if (!this.#link.isUp) throw away()
    if (this.#bucket === undefined) {
      const opening = this.#open()
      this.#bucket = opening
      opening.then(() => { this.#onOpened(this.stream) }, () => {
        if (this.#bucket === opening) this.#bucket = undefined
      })
    }
    return await this.#bucket
  }

  async #open (): Promise<KV> {
    const bucket = await this.#link.bucket(this.name, this.#plan)
    if (this.#lasting > 0) await this.#prolong()
    return bucket
  }

  async #prolong (): Promise<void> {
    const { stream } = this
    const { streams } = this.#link.jsm
    for (;;) {
      const { config: { max_age: age } } = await this.#link.attempt(() => streams.info(stream))
      const wanted = this.#lasting * NANOS
      if (age === 0 || age >= wanted) return
      await this.#link.attempt(() => streams.update(stream, { max_age: wanted }))
      // A node that needs less may have read the old age as well, and write its own over this one.
      await delay(SETTLED)
    }
  }

  /** Returns what this node wrote last, as long as the bucket keeps it: it is not missing where its time is over. */
  #writtenLast (key: string): Written | undefined {
    const written = this.#written.get(key)
    const ttl = Math.max(this.#plan.ttl, this.#lasting)
    if (written === undefined || ttl === 0 || performance.now() - written.at < ttl) return written
    this.#written.delete(key)
    return undefined
  }

  /**
   * Makes a request to the bucket. A missing bucket is created again, and the request repeated for as long as a request
   * may take, since a bucket that another node has just created in a cluster has no leader for a moment.
   */
  async #ask<T> (ask: (bucket: KV) => Promise<T>, how: 'attempt' | 'change' = 'attempt'): Promise<T> {
    const end = performance.now() + this.#link.timeout
    for (let isAgain = false; ; isAgain = true) {
      try {
        const bucket = await this.#opened()
        return await this.#link[how](() => ask(bucket))
      } catch (error) {
        if (!isMissing(error)) throw error
        this.forget()
        if (isAgain && performance.now() > end) throw away()
        if (isAgain) await delay(AGAIN)
      }
    }
  }

  /**
   * Makes a change. Its number is above all that this node was given before: else those were lost.
   *
   * @throws Refusal `unavailable`, with the outcome `unknown` when it may be made all the same
   */
  async #give<T extends number | undefined> (ask: (bucket: KV) => Promise<T>): Promise<T> {
    const data = this.#data
    const { newest } = data
    const revision = await this.#ask(ask, 'change')
    if (revision === undefined || data !== this.#data) return revision
    if (revision > newest) data.newest = Math.max(data.newest, revision)
    else this.#wentBack()
    return revision
  }

  /** Asks again after a short outage of the link, see `NatsLink.insist`. */
  async insist<T> (asking: Asking, ask: () => Promise<T>): Promise<T> { return await this.#link.insist(asking, ask) }

  async read (key: string): Promise<string | undefined> {
    return valueOf(await this.#entry(key, this.#writtenLast(key)))
  }

  /** @returns when a value was written, in Unix milliseconds by the broker's clock; nothing where none is kept */
  async writtenAt (key: string): Promise<number | undefined> {
    const entry = await this.#entry(key, undefined)
    return valueOf(entry) === undefined ? undefined : entry!.created.getTime()
  }

  /**
   * Resolves when a server that leads the bucket has accepted a message within the last second, one for all who ask.
   * One that was cut off from the others answers reads for ten seconds and more, but accepts nothing. A server that
   * declines, since it is full, says nothing about that, and nobody is kept waiting for it.
   *
   * @throws Refusal `unavailable`
   */
  async led (): Promise<void> {
    if (!this.#link.isClustered) return
    const since = performance.now() - LED
    while (this.#ledAt < since) {
      this.#proving ??= this.#prove().finally(() => { this.#proving = undefined })
      await this.#proving
    }
  }

  async #prove (): Promise<void> {
    const sentAt = performance.now()
    try {
      await this.#ask(() => this.#link.js.publish(subjectOf(this.name, 'probe'), ''))
    } catch (error) {
      if (!(error instanceof Declined)) throw error
    }
    this.#ledAt = sentAt
  }

  /**
   * Reads a key from the server that leads the bucket. One that knows less of the key than this node has written leads
   * no more, and what it does not know says nothing: an entry that it has not may be there.
   *
   * @param written what this node wrote last
   */
  async #entry (key: string, written: Written | undefined): Promise<KvEntry | null> {
    const bucket = this.#bucket
    const entry = await this.#ask((each) => each.get(key))
    // A bucket that was made anew gives lower numbers.
    if (!this.#link.isClustered || bucket !== this.#bucket) return entry
    if ((entry?.revision ?? 0) >= (written?.revision ?? 0)) return entry
    // Where another node has made it anew the next read is believed.
    this.#written.delete(key)
    throw away()
  }

  /**
   * Writes a value unconditionally.
   *
   * @returns its number among all changes of the bucket
   */
  async write (key: string, value: string): Promise<number> {
    return await this.#give((bucket) => bucket.put(key, value))
  }

  /**
   * Writes a value, and asks the server for the time of the write.
   *
   * @param key that only this node writes
   */
  async stamp (key: string): Promise<Stamp> {
    const count = ++this.#stamps
    const seq = await this.#stampBehind(key, count) ?? await this.write(key, String(count))
    const writtenAt = performance.now()
    const { stamp } = this.#data
    if (count > (stamp?.count ?? 0)) this.#data.stamp = { count, revision: seq }
    const kept = await this.#link.attempt(() => this.#link.jsm.streams.getMessage(this.stream, { seq }))
    if (kept === null) throw away()
    return { writtenAt, time: kept.time.getTime() }
  }

  /**
   * Writes a stamp behind this node's newest one. Where another value is there, it is a later one of this node whose
   * answer is missing, or the data went back, whatever other nodes have written into it since.
   *
   * @returns its number; `undefined` when it is to be written whatever is there
   */
  async #stampBehind (key: string, count: number): Promise<number | undefined> {
    const { stamp } = this.#data
    if (stamp === undefined) return undefined
    const expect = { lastSubjectSequence: stamp.revision }
    try {
      return await this.#give(async () => {
        return (await this.#link.js.publish(subjectOf(this.name, key), String(count), { expect })).seq
      })
    } catch (error) {
      if (!isConflict(error)) throw error
      const found = Number(valueOf(await this.#entry(key, undefined)) ?? 0)
      if (found <= stamp.count && this.#data.stamp === stamp) this.#wentBack()
      return undefined
    }
  }

  /**
   * Changes a value.
   *
   * @param isUrgent false for one of many changes that no caller waits for: it takes its time, as long as the server
   *   answers
   * @throws Refusal `unavailable` also when others changed the key too often meanwhile; with the outcome `unknown`
   *   when the change may be made all the same
   */
  async change<T> (key: string, step: (value: string | undefined) => Step<T>, isUrgent = true): Promise<T> {
    let result: { readonly of: T } | undefined
    const run = (value: string | undefined): string | undefined => {
      const done = step(value)
      result = { of: done.result }
      return done.value
    }
    await new Promise<void>((resolve, reject) => {
      const one = { since: this.#link.clock.now(), isUrgent, run, resolve, reject }
      const others = this.#waiting.get(key)
      if (others !== undefined) others.push(one)
      else {
        this.#waiting.set(key, [one])
        void this.#work(key, isUrgent)
      }
    })
    return result!.of
  }

  /** Makes the changes of one key until none is left. Never rejects. */
  async #work (key: string, isUrgent: boolean): Promise<void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => { (isUrgent ? this.#line : this.#later).push(resolve) })
    for (let batch = this.#waiting.get(key)!; batch.length > 0; batch = this.#waiting.get(key)!) {
      this.#waiting.set(key, [])
      // A caller that has waited as long as an answer may take is not kept waiting for another one.
      const oldest = this.#link.clock.now() - this.#link.timeout
      const isLate = ({ since, isUrgent }: Waiting): boolean => since < (isUrgent ? oldest : this.#failedAt)
      const late = batch.filter(isLate)
      const now = batch.filter((one) => !isLate(one))
      for (const { reject } of late) reject(away())
      try {
        if (now.length > 0) await this.#apply(key, now)
        for (const { resolve } of now) resolve()
      } catch (error) {
        // What is wrong with one key says nothing about those that wait.
        if (isAway(error)) this.#failedAt = this.#link.clock.now()
        for (const { reject } of now) reject(error)
      }
    }
    this.#waiting.delete(key)
    const next = this.#line.shift() ?? this.#later.shift()
    if (next === undefined) this.#free++
    else next()
  }

  async #apply (key: string, batch: readonly Waiting[]): Promise<void> {
    const written = this.#writtenLast(key)
    const isKnown = written?.value !== undefined
    if (isKnown && await this.#applyTo(key, batch, written)) return
    for (let tries = 0; tries < TRIES; tries++) {
      const entry = await this.#entry(key, written)
      if (await this.#applyTo(key, batch, { value: valueOf(entry), revision: entry?.revision ?? 0 }, true)) return
      await delay(Math.random() * Math.min(tries, 10) * 2)
    }
    throw away()
  }

  /**
   * @param isFresh whether the value was read just now, so that a change that leaves it as it is may rely on it
   * @returns false when another node was first
   */
  async #applyTo (
    key: string,
    batch: readonly Waiting[],
    from: { readonly value: string | undefined, readonly revision: number },
    isFresh = false
  ): Promise<boolean> {
    let value: string | undefined
    for (const { run } of batch) value = run(value ?? from.value) ?? value
    // A change that may still be accepted is of this revision. Another change of the same revision has to be made, so
    // that the first cannot be accepted any more.
    if (isFresh && this.#unsure.get(key) === from.revision) value ??= from.value ?? ''
    if (value === undefined) return isFresh
    const changed = value
    this.#written.delete(key)
    this.#unsure.delete(key)
    const at = performance.now()
    try {
      const revision = await this.#give((bucket) => this.#replace(bucket, key, changed, from.revision))
      if (revision === undefined) return false
      remember(this.#written, key, { value: changed.length <= MAX_REMEMBERED ? changed : undefined, revision, at })
      return true
    } catch (error) {
      if (isConflict(error)) return false
      remember(this.#unsure, key, from.revision)
      throw error
    }
  }

  /** @returns the new revision; `undefined` when another node was first */
  async #replace (bucket: KV, key: string, value: string, revision: number): Promise<number | undefined> {
    if (revision === 0) return await bucket.create(key, value)
    if (!this.#link.isClustered) return await bucket.update(key, value, revision)
    return await publishBehind(this.#link, {
      stream: this.stream,
      subject: subjectOf(this.name, key),
      text: value,
      last: revision,
      key,
      probe: subjectOf(this.name, 'probe')
    })
  }
}

function valueOf (entry: KvEntry | null): string | undefined {
  return entry === null || entry.operation !== 'PUT' || entry.length === 0 ? undefined : entry.string()
}

function remember<T> (all: OrderedMap<T>, key: string, value: T): void {
  all.set(key, value)
  if (all.size > MAX_WRITTEN) all.shift()
}

function newer (kind: string): Refusal {
  return new Refusal('unavailable', { retryAfter: 1_000, cause: new Error(`a newer version has written it (${kind})`) })
}

/**
 * Decodes a value. One that cannot be read counts as none, so that the next change repairs it, and is counted as
 * unread.
 *
 * @throws Refusal `unavailable` for a value of a newer form: it is left alone, since newer nodes rely on it
 */
export function decoded<T> (
  kind: string, text: string | undefined, decode: (text: string) => T | undefined, unread: Unread
): T | undefined {
  if (text === undefined) return undefined
  const isOfOthers = isNewer(text)
  const value = isOfOthers ? undefined : decode(text)
  if (value === undefined) unread.note(kind, text.length)
  if (isOfOthers) throw newer(kind)
  return value
}
