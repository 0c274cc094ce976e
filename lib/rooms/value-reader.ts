import type { EventHead, Packet } from '../protocol/packet.js'
import { isWithin, type KnownValues, type ShownValue } from '../retention/latest.js'
import type { LatestValues } from './latest-values.js'
import type { Member } from './member.js'

/** What a reader needs of its member's place in the room. */
export interface Reader {
  readonly member: Member
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
  /** Whether it is told of removals. */
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

  /** The late values up to this number have been brought, or are told by their versions. */
  get late (): number { return this.#late }

  /** Whether a value of this version has been brought, where there is one. */
  has (version: number | undefined): boolean {
    return version === undefined || (this.#version !== undefined && version <= this.#version)
  }

  /** @returns how much of what there is was brought; the rest is for when the link has drained */
  bring (): 'all' | 'some' | 'none' {
    const known = this.#version
    const shown = this.#values.show({ version: known, late: this.#late })
    const { late } = this.#values
    if (shown.length > 0 && this.#reader.member.hasRoom === false) return 'none'
    for (const [index, value] of shown.entries()) {
      const { version } = value.packet.event!
      const isLate = isWithin(value.packet, known)
      if (!isLate && this.#isLater(value)) this.hasAll = true
      const isSent = this.#send(value.packet)
      if (isLate) this.#late = value.late
      else this.#version = version ?? this.#version
      // Without a version nothing would tell where to go on.
      if (isSent || this.#version === undefined || index === shown.length - 1) continue
      if (!isLate) {
        const next = shown.slice(index + 1).find(({ packet }) => packet.event!.version === undefined)
        this.#late = next === undefined ? late : next.late - 1
      }
      // It may have what is removed from now on.
      this.#isReturn = true
      return 'some'
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
    const { member } = this.#reader
    member.replayed?.(packet.bytes.length)
    return member.send(packet)
  }
}
