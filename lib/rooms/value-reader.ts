import type { EventHead, Packet } from '../protocol/packet.js'
import { isWithin, type KnownValues, type ShownValue } from '../retention/latest.js'
import type { LatestValues } from './latest-values.js'
import { sendMissed, type Member } from './member.js'

/** What a reader needs of its member's place in the room. */
export interface Reader {
  readonly member: Member
  /** Milliseconds of the room's flush window. */
  readonly flush: number
  isExcepted (event: EventHead): boolean
}

/**
 * Brings one member the `latest` values of a room that it does not have, as fast as its link drains. Each turn reads
 * what there is then, in the order of versions: so what changes meanwhile comes in its newest state, and nothing of it
 * before. What has been brought is known by the same two numbers as of a member that comes back, so that one that is
 * cut off in the middle goes on there.
 */
export class ValueReader {
  readonly #reader: Reader
  readonly #values: Pick<LatestValues, 'late' | 'newest' | 'show'>
  #version: number | undefined
  #late: number
  #isReturn: boolean
  /** The newest version, and the number of late values, when it began. */
  readonly #first: { readonly version: number, readonly late: number }
  /** Whether all that there was when it began has been brought. */
  hasAll = false

  constructor (
    reader: Reader,
    values: Pick<LatestValues, 'late' | 'newest' | 'show'>,
    { version, late }: KnownValues,
    isReturn: boolean
  ) {
    this.#reader = reader
    this.#values = values
    this.#version = version
    this.#late = late
    this.#isReturn = isReturn
    this.#first = { version: values.newest, late: values.late }
  }

  /** Whether it is told of removals, because it may have what is removed. */
  get isReturn (): boolean { return this.#isReturn }

  /** The late values up to this number have been brought, or are told by their versions. */
  get late (): number { return this.#late }

  /** Whether a value of this version has been brought, where there is one. */
  has (version: number | undefined): boolean {
    return version === undefined || (this.#version !== undefined && version <= this.#version)
  }

  /** @returns how much of what there is was brought; the rest is for when the link has drained */
  bring (): 'all' | 'some' | 'none' {
    const { member } = this.#reader
    const known = this.#version
    const shown = this.#values.show({ version: known, late: this.#late })
    const { late } = this.#values
    let isWritable = member.hasRoom !== false
    for (const [index, value] of shown.entries()) {
      const isLate = isWithin(value.packet, known)
      if (!isWritable || member.hasRoomFor?.(value.packet.bytes.length) === false) {
        if (index === 0) return 'none'
        if (!isWithin(shown[index - 1]!.packet, known)) this.#late = lateBefore(shown.slice(index)) ?? late
        // It may have what is removed from now on.
        this.#isReturn = true
        return 'some'
      }
      if (!isLate && this.#isLater(value)) this.hasAll = true
      isWritable = this.#send(value.packet)
      if (isLate) this.#late = value.late
      // Whoever has one without a version has what there was of those that have one.
      else this.#version = value.packet.event!.version ?? this.#version ?? 0
    }
    this.#late = late
    this.hasAll = true
    return 'all'
  }

  #isLater ({ packet: { event }, late }: ShownValue): boolean {
    const { version } = event!
    return version === undefined ? late > this.#first.late : version > this.#first.version
  }

  #send (packet: Packet): boolean {
    const event = packet.event!
    if ((event.isRemoval === true && !this.#isReturn) || this.#reader.isExcepted(event)) return true
    const { member, flush } = this.#reader
    member.replayed?.(packet.bytes.length)
    return sendMissed(member, packet, flush)
  }
}

/** Returns the number of late values before the first without a version, where there is such a one. */
function lateBefore (values: readonly ShownValue[]): number | undefined {
  const next = values.find(({ packet }) => packet.event!.version === undefined)
  return next === undefined ? undefined : next.late - 1
}
