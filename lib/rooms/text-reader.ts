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
  /** It has everything up to this version. */
  #version = 0
  /** What it was sent of texts while it is behind, by the versions with which they began. */
  #sent: Map<number, number> | undefined
  #isLive = false
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
    this.#version = this.#known?.version ?? 0
    this.#sent = new Map()
    this.#bring(++this.#turn)
  }

  #bring (turn: number): void {
    if (turn !== this.#turn || !this.#member.isOpen) return
    for (const text of this.#texts.after(this.#version)) {
      const { part } = text
      const from = this.#lengthOf(text)
      const knowsEnd = part.end === undefined || this.#namedOf(text)?.[4] === 1
      this.#version = part.version
      if (from === part.to && knowsEnd) continue
      const packet = this.#texts.frame(text, from)
      this.#sent!.set(part.begun, part.to)
      this.#member.replayed?.(packet.bytes.length)
      if (this.#member.send(packet)) continue
      // A link that lags takes the rest when it has room, and a poll with the next one.
      this.#member.whenDrained(() => { this.#bring(turn) })
      return
    }
    this.#sayLost()
    this.#isLive = true
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

  /** What the member has of a text. */
  #lengthOf (text: KeptText): number {
    const { part } = text
    const length = this.#sent!.get(part.begun) ?? this.#known?.lengths?.get(part.begun)
    if (length !== undefined) return length <= part.to ? length : 0
    const named = this.#namedOf(text)
    return named !== undefined && startsWith(part, named) ? named[2] : 0
  }

  #namedOf ({ type, key, part }: KeptText): ReturnType<typeof namedOf> {
    return namedOf(this.#known, type, key, part)
  }

  offer (packet: Packet, flush: number): void {
    const { version } = packet.event!.part!
    if (!this.#isLive || version <= this.#version) return
    this.#version = version
    this.#member.send(packet, flush)
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
