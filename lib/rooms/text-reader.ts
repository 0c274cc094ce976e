import type { KeptText } from '../adapters/adapter.js'
import { startsWith, type Part } from '../protocol/part.js'
import type { Packet } from '../protocol/packet.js'
import type { KnownTexts } from './known-texts.js'
import type { Member } from './member.js'
import type { RoomTexts } from './room-texts.js'

/**
 * Brings one member the texts of a room: first of each what it does not have, in one frame and as fast as its link
 * drains, then what is appended. What is appended to any text while it is behind is in the frames that follow.
 */
export class TextReader {
  readonly #member: Member
  readonly #texts: RoomTexts
  #known: KnownTexts | undefined
  /** What it was sent of texts while it is behind, by the versions with which they began. */
  #sent: Map<number, Pick<Part, 'version' | 'to'>> | undefined
  #isLive = false
  /** Whether it has not been live yet: then it is shown what has begun and is empty. */
  #isNew = true
  /** The changes of the room's texts that are in what it was brought. */
  #brought = 0
  /** Another number each time that it begins anew, so that what waited before does nothing. */
  #turn = 0

  constructor (member: Member, texts: RoomTexts, known: KnownTexts | undefined) {
    this.#member = member
    this.#texts = texts
    this.#known = known
  }

  /** Stops, until it goes live again from what it has then. */
  pause (known: KnownTexts | undefined): void {
    this.#isLive = false
    this.#known = known
    this.#turn++
  }

  /** Sends what the member does not have, and lets in what follows. */
  live (): void {
    this.#isLive = false
    this.#sent = new Map()
    this.#bring(++this.#turn)
  }

  #bring (turn: number): void {
    if (turn !== this.#turn || !this.#member.isOpen) return
    for (const text of this.#texts.all()) {
      const { part } = text
      const from = this.#fromOf(text)
      if (from === undefined) continue
      const packet = this.#texts.frame(text, from)
      this.#sent!.set(part.begun, { version: part.version, to: part.to })
      this.#member.replayed?.(packet.bytes.length)
      if (this.#member.send(packet)) continue
      // A link that lags takes the rest when it has room, and a poll with the next one.
      this.#member.whenDrained(() => { this.#bring(turn) })
      return
    }
    this.#sayLost()
    this.#isLive = true
    this.#isNew = false
    this.#brought = this.#texts.changes
    this.#known = this.#sent = undefined
  }

  /**
   * Tells of texts that the member has without their ends and that are not kept any more: they have expired, or the
   * data of the adapter is lost. It would wait for their rest for ever.
   */
  #sayLost (): void {
    for (const [type, key, length, , hasEnded] of this.#known?.named ?? []) {
      if (hasEnded === 1 || this.#texts.get(type, key) !== undefined) continue
      const packet = this.#texts.lost(type, key, length)
      if (packet !== undefined) this.#member.send(packet)
    }
  }

  /** The length from which on the member is sent a text; nothing where it has all of it. */
  #fromOf ({ type, key, part }: KeptText): number | undefined {
    const { version, begun, to, end } = part
    const sent = this.#sent!.get(begun)
    if (sent !== undefined) return version <= sent.version ? undefined : sent.to <= to ? sent.to : 0
    const length = this.#known?.lengths?.get(begun)
    if (version <= (this.#known?.version ?? 0)) {
      // A node that had missed a stretch sends it behind newer ones of other texts, so the length tells more.
      return length !== undefined && (length < to || (length === to && end !== undefined)) ? length : undefined
    }
    const named = namedOf(this.#known, type, key, part)
    const isNamed = named !== undefined && startsWith(part, named)
    const from = length ?? (isNamed ? named[2] : undefined)
    // One that polls hears of what begins between two polls as others do, by the first part.
    if (from === undefined && to === 0 && end === undefined && !this.#isNew) return undefined
    // Who comes for the first time has nothing of a text that was cleared.
    if (from === undefined && to === 0 && end === 'lost' && this.#known === undefined) return undefined
    if (from === undefined || from > to) return 0
    return from === to && (end === undefined || named?.[4] === 1) ? undefined : from
  }

  /** @param change the number of the change of the room's texts that the packet is */
  offer (packet: Packet, change: number, flush: number): void {
    // Versions do not tell: a stretch that was found late is older than what was sent of other texts.
    if (this.#isLive && change > this.#brought) this.#member.send(packet, flush)
  }
}

function namedOf (
  known: KnownTexts | undefined,
  type: string,
  key: string,
  part: Part
): NonNullable<KnownTexts['named']>[number] | undefined {
  const named = known?.named?.find(([event, of]) => event === type && of === key)
  return named !== undefined && named[2] <= part.to ? named : undefined
}
