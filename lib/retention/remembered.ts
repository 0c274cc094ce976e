import { Link, LinkedList } from '../structures/linked-list.js'
import { Retained, type Retention } from './retention.js'
import { ShardedMap } from '../structures/sharded-map.js'
import { textBytes } from '../structures/text-bytes.js'

/** One entry, and its place among those of its owner: there are millions of them, each of one object. */
class Entry<V> extends Link<undefined> {
  readonly owner: Owner<V>
  readonly key: string
  value: V
  until: number
  bytes: number

  constructor (owner: Owner<V>, key: string, value: V, until: number, bytes: number) {
    super(undefined)
    this.owner = owner
    this.key = key
    this.value = value
    this.until = until
    this.bytes = bytes
  }
}

/** Estimated bytes of an entry besides its key and its value. */
const ENTRY = 300
/** Estimated bytes of an owner without its entries. */
const OWNER = 500

/** Holds the entries of one owner, oldest first. */
class Owner<V> extends Retained {
  readonly id: string
  readonly entries = new LinkedList<undefined, Entry<V>>()
  readonly #shift: (entry: Entry<V>) => void
  readonly #onEmpty: (owner: Owner<V>) => void
  held = 0

  constructor (id: string, shift: (entry: Entry<V>) => void, onEmpty: (owner: Owner<V>) => void) {
    super()
    this.id = id
    this.#shift = shift
    this.#onEmpty = onEmpty
  }

  get bytes (): number { return this.held === 0 ? 0 : this.held + OWNER }
  get ends (): number { return this.entries.first?.until ?? Number.POSITIVE_INFINITY }

  shift (): void {
    const { first } = this.entries
    if (first !== undefined) this.#shift(first)
  }

  override emptied (): void { this.#onEmpty(this) }
}

/**
 * Entries that are kept for a time, each for an owner. Their bytes are bounded, not their number: an owner above its
 * own bound loses its oldest entry. When all owners together are above the bound of the `Retention`, one of the owners
 * that hold most loses its oldest entry, so an owner that holds little is the last to lose one.
 */
export class Remembered<V> {
  readonly #retention: Retention
  #perOwner: number
  readonly #onEvicted: ((key: string, value: V) => void) | undefined
  readonly #entries = new ShardedMap<Entry<V>>()
  readonly #owners = new ShardedMap<Owner<V>>()
  /** Called with each entry that is set: what its owner holds by then. */
  onHeld: ((owner: string, bytes: number) => void) | undefined
  /** Number of entries that owners lost before their time by the bound for one owner. */
  evicted = 0

  /**
   * @param retention bounds the bytes of everything that shares it, and is swept by its creator
   * @param perOwner bytes that one owner may hold, unbounded by default
   * @param onEvicted called for each entry that was evicted before its time
   */
  constructor (retention: Retention, perOwner = Number.POSITIVE_INFINITY, onEvicted?: (key: string, value: V) => void) {
    this.#retention = retention
    this.#perOwner = perOwner
    this.#onEvicted = onEvicted
  }

  /** Sets another bound for one owner, which holds from its next entry on. */
  limit (perOwner: number): void { this.#perOwner = perOwner }

  get size (): number { return this.#entries.size }
  get owners (): number { return this.#owners.size }

  get (key: string, now: number): V | undefined {
    const entry = this.#entries.get(key)
    return entry === undefined || entry.until <= now ? undefined : entry.value
  }

  /** Values of the entries that have not expired, without an order. */
  * values (now: number): Generator<V> {
    for (const { value, until } of this.#entries.values()) if (until > now) yield value
  }

  /**
   * Adds an entry, or replaces the entry of the same key.
   *
   * @param bytes of the value
   */
  set (owner: string, key: string, value: V, bytes: number, until: number, now: number): void {
    this.#retention.now = now
    const size = ENTRY + textBytes(key) + bytes
    let entry = this.#entries.get(key)
    if (entry !== undefined && entry.owner.id !== owner) {
      this.delete(key, now)
      entry = undefined
    }
    const own = entry?.owner ?? this.#ownerOf(owner)
    if (entry === undefined) {
      entry = new Entry(own, key, value, until, size)
      this.#entries.set(key, entry)
      own.held += size
    } else {
      own.held += size - entry.bytes
      entry.value = value
      entry.until = until
      entry.bytes = size
    }
    own.entries.push(entry)
    this.onHeld?.(owner, own.bytes)
    while (own.bytes > this.#perOwner && own.entries.size > 0) {
      own.shift()
      this.evicted++
    }
    this.#retention.changed(own, now)
  }

  /**
   * Drops what has expired, here and in everything that shares the `Retention`.
   *
   * @param most parts dropped and things examined in this call
   * @returns whether there is more to do now
   */
  sweep (now: number, most: number): boolean {
    return this.#retention.sweep(now, most)
  }

  delete (key: string, now: number): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#drop(entry)
    this.#retention.changed(entry.owner, now)
  }

  #ownerOf (id: string): Owner<V> {
    let owner = this.#owners.get(id)
    if (owner === undefined) {
      owner = new Owner<V>(id, (entry) => {
        this.#shift(entry)
      }, (empty) => { if (this.#owners.get(empty.id) === empty) this.#owners.delete(empty.id) })
      this.#owners.set(id, owner)
    }
    return owner
  }

  /**
   * Drops an entry to make room, or because it has expired. It may be another user of the `Retention` that calls for
   * that, so the time is that of them all.
   */
  #shift (entry: Entry<V>): void {
    const { key, value, until } = entry
    this.#drop(entry)
    if (until > this.#retention.now) this.#onEvicted?.(key, value)
  }

  #drop (entry: Entry<V>): void {
    const { owner, key, bytes } = entry
    entry.remove()
    this.#entries.delete(key)
    owner.held -= bytes
  }
}
