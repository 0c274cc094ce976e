import type { Packet } from '../protocol/packet.js'
import { keyOf } from '../protocol/key.js'
import { Link, LinkedList } from '../structures/linked-list.js'
import { Retained } from './retention.js'
import { DAY, MAX_LATEST } from './bounds.js'

/** Estimated bytes of the containers that a room needs for its values. */
const ROOM = 512

interface Value { readonly name: string, readonly packet: Packet, readonly until: number }

/** Milliseconds for which the `latest` values of a room are kept. */
export function latestTtl (history: { readonly ttl: number } | false): number {
  return history === false ? DAY : history.ttl
}

/**
 * Holds the current `latest` values of one room by type and key. This class bounds their number, a `Retention` bounds
 * their time and bytes.
 */
export class Latest extends Retained {
  readonly #values = new Map<string, Link<Value>>()
  readonly #order = new LinkedList<Value>()
  readonly #ttl: number
  readonly #onEmpty: (() => void) | undefined
  #bytes = 0

  /**
   * @param ttl milliseconds since a value was accepted, counted by the age that came with the value and not by the
   *   clock of any node
   */
  constructor (ttl: number, onEmpty?: () => void) {
    super()
    this.#ttl = ttl
    this.#onEmpty = onEmpty
  }

  get bytes (): number { return this.#bytes === 0 ? 0 : this.#bytes + ROOM }
  get ends (): number { return this.#order.first?.item.until ?? Number.POSITIVE_INFINITY }
  get size (): number { return this.#values.size }

  /** Yields the packets that have not expired, in the order in which they were set. */
  * packets (now: number): Generator<Packet> {
    for (const { packet, until } of this.#order) if (until > now) yield packet
  }

  /** Yields the same packets, each with the time for which it has been kept. */
  * aged (now: number): Generator<Packet> {
    for (const { packet, until } of this.#order) {
      if (until > now) yield packet.aged(Math.max(0, now - until + this.#ttl))
    }
  }

  /** Highest version among the values. */
  get version (): number | undefined {
    let version: number | undefined
    for (const { packet } of this.#order) version = Math.max(version ?? 0, packet.event!.version ?? 0)
    return version
  }

  /** @returns false when a newer value of the key is already known */
  set (packet: Packet, now: number): boolean {
    const { type, key, version, age = 0 } = packet.event!
    const name = keyOf(type, key ?? '')
    const known = this.#values.get(name)
    if (known !== undefined) {
      const before = known.item.packet.event!.version
      // A value without a version was set by this node while it could not reach the broker. It is shown until the
      // broker names a value, whatever the version of that one is.
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

/** Estimated bytes that a retained packet takes besides its frame. */
const OVERHEAD = 256

/** Bytes that a retained packet is charged: twice its frame, because its SSE form may be kept beside it. */
export function costOf ({ bytes }: Packet): number {
  return bytes.length * 2 + OVERHEAD
}
