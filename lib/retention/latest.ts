import type { Packet } from '../protocol/packet.js'
import { keyOf } from '../protocol/key.js'
import { Link, LinkedList } from '../structures/linked-list.js'
import { Retained } from './retention.js'
import { DAY, MAX_LATEST } from './bounds.js'

/** Bytes of a room's place for its values. */
const ROOM = 512

interface Value { readonly name: string, readonly packet: Packet, readonly until: number }

/** Milliseconds that the `latest` values of a room live. */
export function latestTtl (history: { readonly ttl: number } | false): number {
  return history === false ? DAY : history.ttl
}

/**
 * The current `latest` values of one room, by type and key: bounded in number here, in time and bytes by a `Retention`.
 */
export class Latest extends Retained {
  readonly #values = new Map<string, Link<Value>>()
  readonly #order = new LinkedList<Value>()
  readonly #ttl: number
  readonly #onEmpty: (() => void) | undefined
  #bytes = 0

  /**
   * @param ttl milliseconds, counted from when a value was accepted: by the age that it came with, not by anybody's
   * clock
   */
  constructor (ttl: number, onEmpty?: () => void) {
    super()
    this.#ttl = ttl
    this.#onEmpty = onEmpty
  }

  get bytes (): number { return this.#bytes === 0 ? 0 : this.#bytes + ROOM }
  get ends (): number { return this.#order.first?.item.until ?? Number.POSITIVE_INFINITY }
  get size (): number { return this.#values.size }

  /** The packets, oldest set first, without what has run out. */
  * packets (now: number): Generator<Packet> {
    for (const { packet, until } of this.#order) if (until > now) yield packet
  }

  /** The same, each with the time for which it has been kept. */
  * aged (now: number): Generator<Packet> {
    for (const { packet, until } of this.#order) {
      if (until > now) yield packet.aged(Math.max(0, now - until + this.#ttl))
    }
  }

  /** version of the newest value */
  get version (): number | undefined {
    let version: number | undefined
    for (const { packet } of this.#order) version = Math.max(version ?? 0, packet.event!.version ?? 0)
    return version
  }

  /** @returns false when a newer value of the key is known */
  set (packet: Packet, now: number): boolean {
    const { type, key, version, age = 0 } = packet.event!
    const name = keyOf(type, key ?? '')
    const known = this.#values.get(name)
    if (known !== undefined) {
      const before = known.item.packet.event!.version
      // Without a version it was set here while the broker was away: it shows until the broker names a value, whichever
      // that is.
      if (before !== undefined && version !== undefined && before >= version) return false
      this.#drop(known)
    }
    const link = new Link<Value>({ name, packet, until: now - age + this.#ttl })
    this.#values.set(name, link)
    this.#order.push(link)
    this.#bytes += costOf(packet)
    if (this.#values.size > MAX_LATEST) this.shift()
    return true
  }

  shift (): void {
    const { first } = this.#order
    if (first !== undefined) this.#drop(first)
  }

  override emptied (): void { this.#onEmpty?.() }

  #drop (link: Link<Value>): void {
    link.remove()
    this.#values.delete(link.item.name)
    this.#bytes -= costOf(link.item.packet)
  }
}

/** Bytes that a retained packet keeps besides its frame. */
const OVERHEAD = 256

/** A retained packet is charged twice its frame: its SSE form may be kept beside it. */
export function costOf ({ bytes }: Packet): number {
  return bytes.length * 2 + OVERHEAD
}
