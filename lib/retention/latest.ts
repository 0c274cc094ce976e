import type { Packet } from '../protocol/packet.js'
import { keyOf } from '../protocol/key.js'
import { Link, LinkedList } from '../structures/linked-list.js'
import { Retained } from './retention.js'
import { DAY, MAX_LATEST } from './bounds.js'

/** Estimated bytes of the containers that a room needs for its values. */
const ROOM = 512

/** A value as it is shown to somebody who does not have it. */
export interface ShownValue {
  readonly packet: Packet
  /** Its number among the late values; 0 when it was not late. */
  readonly late: number
}

interface Value extends ShownValue {
  readonly name: string
  readonly until: number
}

/** What somebody who comes back has of a room's values. */
export interface KnownValues {
  /** Everything up to this version, but for what came late; absent when nothing is known. */
  readonly version: number | undefined
  /** The late values up to this number. */
  readonly late: number
}

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
  /** The newest version that was set. */
  #newest = 0
  #late = 0

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
  /** The newest version that was set. */
  get newest (): number { return this.#newest }
  /** Number of values so far of which a version does not tell whether they are known. */
  get late (): number { return this.#late }

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

  /**
   * Returns the values that somebody does not have: first those that are shown because they came late, in the order in
   * which they came, then the others in the order of their versions. Whoever is cut off among them knows all up to the
   * late value, or up to the version, that came last.
   */
  unknown (known: KnownValues, now: number): ShownValue[] {
    const late: Value[] = []
    const others: Value[] = []
    for (const value of this.#all()) {
      if (value.until <= now) continue
      const hasVersion = value.packet.event!.version !== undefined
      const isOther = !isWithin(value.packet, known.version)
      if (isOther && hasVersion) others.push(value)
      else if (value.late > known.late) (isOther ? others : late).push(value)
    }
    others.sort((a, b) => orderOf(a.packet) - orderOf(b.packet) || a.late - b.late)
    return [...late.sort((a, b) => a.late - b.late), ...others]
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

  /**
   * @param isShown whether some have read the values, so that they may know a newer version than that of a value which
   *   comes now and which they do not have
   * @returns false when a newer value of the key is already known
   */
  set (packet: Packet, now: number, isShown = false): boolean {
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
    const isLate = version === undefined || (isShown && version < this.#newest)
    if (version !== undefined) this.#newest = Math.max(this.#newest, version)
    const link = new Link<Value>({ name, packet, until: now - age + this.#ttl, late: isLate ? ++this.#late : 0 })
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

/** Whether a version tells that somebody who knows all up to it has a value. */
export function isWithin ({ event }: Packet, known: number | undefined): boolean {
  return known !== undefined && (event!.version === undefined || event!.version <= known)
}

/** One without a version stands last: it was set while the broker could not be reached. */
function orderOf ({ event }: Packet): number { return event!.version ?? Number.MAX_SAFE_INTEGER }

/** Estimated bytes that a retained packet takes besides its frame. */
const OVERHEAD = 256

/** Bytes that a retained packet is charged: twice its frame, because its SSE form may be kept beside it. */
export function costOf ({ bytes }: Packet): number {
  return bytes.length * 2 + OVERHEAD
}
