import type { Packet } from '../protocol/packet.js'
import { keyOf } from '../protocol/key.js'
import { Link, LinkedList } from '../structures/linked-list.js'
import { Retained } from './retention.js'
import { DAY, MAX_LATEST } from './bounds.js'

/** Estimated bytes of the containers that a room needs for its values. */
const ROOM = 512

interface Value { readonly name: string, readonly packet: Packet, readonly until: number }

/** How long the values of a room are kept. */
export interface LatestLife {
  readonly history: { readonly ttl: number } | false
  /** Whether some of them end with the presence of their user. */
  readonly owned?: boolean
}

/** Milliseconds for which the `latest` values of a room, and the removals of some, are kept. */
export function latestTtl ({ history, owned = false }: LatestLife): number {
  return history === false || owned ? DAY : history.ttl
}

/**
 * Holds the current `latest` values of one room by type and key, and the removals of some, for those who come back and
 * know the value. This class bounds their number, a `Retention` bounds their time and bytes.
 */
export class Latest extends Retained {
  readonly #values = new Map<string, Link<Value>>()
  readonly #order = new LinkedList<Value>()
  /** Removals are in an order of their own, because they give way to values. */
  readonly #removed = new LinkedList<Value>()
  readonly #ttl: number
  readonly #onEmpty: (() => void) | undefined
  readonly #onShift: ((packet: Packet) => void) | undefined
  #bytes = 0

  /**
   * @param ttl milliseconds since a value was accepted, counted by the age that came with the value and not by the
   *   clock of any node
   * @param onShift called with what is given up because of its age or a bound
   */
  constructor (ttl: number, onEmpty?: () => void, onShift?: (packet: Packet) => void) {
    super()
    this.#ttl = ttl
    this.#onEmpty = onEmpty
    this.#onShift = onShift
  }

  get bytes (): number { return this.#bytes === 0 ? 0 : this.#bytes + ROOM }
  get ends (): number { return this.#oldest?.item.until ?? Number.POSITIVE_INFINITY }
  get size (): number { return this.#values.size }

  get #oldest (): Link<Value> | undefined {
    const [value, removal] = [this.#order.first, this.#removed.first]
    return value === undefined || (removal !== undefined && removal.item.until < value.item.until) ? removal : value
  }

  /** Yields the packets that have not expired: first the removals, then the values, in the order of their setting. */
  * packets (now: number): Generator<Packet> {
    for (const { packet, until } of this.#all()) if (until > now) yield packet
  }

  /** Yields the same packets, each with the time for which it has been kept. */
  * aged (now: number): Generator<Packet> {
    for (const { packet, until } of this.#all()) {
      if (until > now) yield packet.aged(Math.max(0, now - until + this.#ttl))
    }
  }

  * #all (): Generator<Value> {
    yield * this.#removed
    yield * this.#order
  }

  /** Whether a value has this version, and has not been removed or replaced. */
  has (type: string, key: string, version: number): boolean {
    const known = this.#values.get(keyOf(type, key))?.item.packet.event
    return known?.version === version && known.isRemoval !== true
  }

  /** @returns false when a newer value of the key is already known */
  set (packet: Packet, now: number): boolean {
    const { type, key, version, age = 0, isRemoval = false } = packet.event!
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
    ;(isRemoval ? this.#removed : this.#order).push(link)
    this.#bytes += costOf(packet)
    if (this.#values.size > MAX_LATEST) this.#giveUp(this.#removed.first ?? this.#order.first)
    return true
  }

  shift (): void { this.#giveUp(this.#oldest) }

  #giveUp (link: Link<Value> | undefined): void {
    if (link === undefined) return
    this.#drop(link)
    this.#onShift?.(link.item.packet)
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
