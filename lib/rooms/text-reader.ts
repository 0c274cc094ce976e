import type { KeptText } from '../adapters/adapter.js'
import { keyOf } from '../protocol/key.js'
import { startsWith, type KnownText, type Part } from '../protocol/part.js'
import type { Packet } from '../protocol/packet.js'
import { Pauses } from '../structures/pauses.js'
import type { KnownTexts } from './known-texts.js'
import { sendMissed, type Member } from './member.js'
import type { RoomTexts } from './room-texts.js'

/**
 * Milliseconds for which a member that has heard more than its node is not told the less, nor that a text is lost: as
 * long as a writer waits for a broker that is away. Then milliseconds between two looks at what is kept, and looks that
 * have to find nothing before a text is lost: one may come in the middle of a step that is kept in pieces.
 */
const PATIENCE = 30_000
const AGAIN = 500
const LOOKS = 2

/** What a member has of a text that was read from what is kept before it is brought to it. */
interface Doubt {
  readonly type: string
  readonly key: string
  /** What it says that it has of it. */
  readonly named?: KnownText | undefined
  /** The length that it has for certain, of the text that began with this version. */
  readonly has?: { readonly begun: number, readonly length: number } | undefined
}

interface Ahead { readonly known: KnownTexts, readonly until: number }

/**
 * Brings one member the texts of a room: first of each what it does not have, in one frame and as fast as its link
 * drains, then what is appended. What is appended to any text while it is behind is in the frames that follow.
 */
export class TextReader {
  readonly #member: Member
  readonly #texts: RoomTexts
  readonly #flush: number
  #known: KnownTexts | undefined
  /** What it was sent of texts while it is behind, by the versions with which they began. */
  #sent: Map<number, Pick<Part, 'version' | 'to'>> | undefined
  #isLive = false
  /** Whether it has not been live yet: then it is shown what has begun and is empty. */
  #isNew = true
  /** The changes of the room's texts that are in what it was brought. */
  #brought = 0
  /**
   * What it has of texts of which it may have heard more than this node, and of those that gave way here before it was
   * up to them, by name, until that is settled.
   */
  #doubts: Map<string, Doubt> | undefined
  /** The changes that are in what it was brought of texts that were in doubt. */
  #settled: Map<string, number> | undefined
  readonly #pauses = new Pauses()
  /** What it has by its cursor, where that is ahead of this node, and until when that is heeded. */
  #ahead: Ahead | undefined
  /** Another number each time that it begins anew, so that what waited before does nothing. */
  #turn = 0

  /** @param flush milliseconds of the room's flush window */
  constructor (member: Member, texts: RoomTexts, known: KnownTexts | undefined, flush: number) {
    this.#member = member
    this.#texts = texts
    this.#known = known
    this.#flush = flush
  }

  /** Stops, until it goes live again from what it has then. */
  pause (known: KnownTexts | undefined): void {
    this.#isLive = false
    this.#known = known
    this.#turn++
    this.#pauses.wake()
  }

  /**
   * Sends what the member does not have, and lets in what follows.
   *
   * @returns whether something was sent at once
   */
  live (): boolean {
    this.#isLive = false
    this.#sent = new Map()
    this.#doubt(this.#known?.named)
    return this.#bring(++this.#turn)
  }

  /**
   * A cursor says nothing of what was in doubt before. A member that names its texts begins from those, so that one
   * that enters again and again does not fill the memory.
   */
  #doubt (texts: readonly KnownText[] | undefined): void {
    if (texts === undefined) return
    this.#doubts = undefined
    for (const named of texts) {
      const [type, key] = named
      if (this.#texts.isBehind(named)) (this.#doubts ??= new Map()).set(keyOf(type, key), { type, key, named })
    }
  }

  /** Finds what it is not up to among the texts of which this node has no more than marks. */
  #doubtMarks (): void {
    for (const { type, key, part } of this.#texts.marks()) {
      const name = keyOf(type, key)
      if (this.#doubts?.has(name) === true) continue
      const { begun, version, to, end } = part
      const sent = this.#sent!.get(begun)
      const length = sent?.to ?? this.#known?.lengths?.get(begun)
      const isKnown = version <= (sent?.version ?? this.#known?.version ?? 0)
      if ((isKnown && (sent !== undefined || !isMore(length, part))) || (length === to && end === undefined)) continue
      const named = namedOf(this.#known, type, key, part)
      const has = length === undefined ? undefined : { begun, length }
      ;(this.#doubts ??= new Map()).set(name, { type, key, named, has })
    }
  }

  #bring (turn: number): boolean {
    if (turn !== this.#turn || !this.#member.isOpen) return false
    let hasSent = false
    for (const text of this.#texts.all()) {
      const { type, key, part } = text
      if (this.#doubts?.has(keyOf(type, key)) === true) continue
      const from = this.#fromOf(text)
      if (from === undefined) continue
      const packet = this.#fitting(text, from)
      if (packet !== undefined) {
        this.#sent!.set(part.begun, { version: part.version, to: part.to })
        hasSent = true
        this.#member.replayed?.(packet.bytes.length)
        if (sendMissed(this.#member, packet, this.#flush)) continue
      }
      // A link that lags takes the rest when it has room, and a poll with the next one.
      this.#member.whenDrained(() => { this.#bring(turn) }, !hasSent)
      return hasSent
    }
    this.#doubtMarks()
    this.#isLive = true
    this.#isNew = false
    this.#brought = this.#texts.changes
    this.#settled = undefined
    const known = this.#known
    this.#ahead = known?.version !== undefined && known.version > this.#texts.newest
      ? { known, until: performance.now() + PATIENCE }
      : undefined
    this.#known = this.#sent = undefined
    if (this.#doubts !== undefined) this.#settleAll(turn, [...this.#doubts.values()])
    return hasSent
  }

  /** Settles one text after the other, as each may be large, but for those that the member names, which are few. */
  #settleAll (turn: number, doubts: readonly Doubt[]): void {
    const others: Doubt[] = []
    for (const doubt of doubts) {
      if (doubt.named === undefined) others.push(doubt)
      else void this.#settle(turn, doubt)
    }
    void (async () => { for (const doubt of others) await this.#settle(turn, doubt) })()
  }

  /** Returns the frame of a text from a length on, where the link has room for it. */
  #fitting (text: KeptText, from: number): Packet | undefined {
    if (this.#member.hasRoom === false) return undefined
    const packet = this.#texts.frame(text, from)
    return this.#member.hasRoomFor?.(packet.bytes.length) === false ? undefined : packet
  }

  /**
   * Looks at what is kept of a text of which the member has heard more than this node, or which gave way here: the node
   * may be a little behind, or the text is not kept any more, because it has expired or the data of the adapter is
   * lost. The member is told so then, because it would wait for the rest for ever.
   */
  async #settle (turn: number, doubt: Doubt): Promise<void> {
    const { type, key } = doubt
    const until = performance.now() + PATIENCE
    for (let looks = 0; ;) {
      if (turn !== this.#turn || !this.#member.isOpen) return
      const text = await this.#texts.whole(type, key)
      if (turn !== this.#turn || !this.#member.isOpen) return
      if (text === undefined ? ++looks === LOOKS : text !== false) return this.#tell(turn, doubt, text || undefined)
      // What gave way here is kept elsewhere, or ends.
      const isOver = performance.now() >= until && !this.#texts.isMarked(type, key)
      if (isOver) return this.#tell(turn, doubt, this.#texts.get(type, key))
      await this.#pauses.wait(AGAIN)
    }
  }

  /** Tells what has come of a text that was in doubt, as soon as the link has room for it. */
  #tell (turn: number, doubt: Doubt, text: KeptText | undefined): void {
    const { type, key, named, has } = doubt
    const length = has?.length ?? named?.[2] ?? 0
    let packet: Packet | undefined
    if (text !== undefined) {
      const { part } = text
      const from = length <= part.to && isOf(doubt, part) ? length : 0
      const hasAll = from === part.to && (part.end === undefined || named?.[4] === 1)
      if (!hasAll || from !== length) {
        packet = this.#fitting(text, from)
        // It may have grown until then, or given way.
        if (packet === undefined) return this.#member.whenDrained(() => { this.#tellLater(turn, doubt) }, true)
      }
    } else if (length > 0 || named !== undefined) packet = this.#texts.lost(type, key, length)
    const name = keyOf(type, key)
    this.#doubts!.delete(name)
    ;(this.#settled ??= new Map()).set(name, this.#texts.changes)
    if (packet !== undefined) this.#member.send(packet)
  }

  #tellLater (turn: number, doubt: Doubt): void {
    if (turn !== this.#turn || !this.#member.isOpen) return
    const text = this.#texts.get(doubt.type, doubt.key)
    if (text === undefined) void this.#settle(turn, doubt)
    else this.#tell(turn, doubt, text)
  }

  /** The length from which on the member is sent a text; nothing where it has all of it. */
  #fromOf ({ type, key, part }: KeptText): number | undefined {
    const { version, begun, to, end } = part
    const sent = this.#sent!.get(begun)
    if (sent !== undefined) return version <= sent.version ? undefined : sent.to <= to ? sent.to : 0
    const length = this.#known?.lengths?.get(begun)
    if (version <= (this.#known?.version ?? 0)) {
      // A node that had missed a stretch sends it behind newer ones of other texts, so the length tells more.
      return isMore(length, part) ? length : undefined
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
    if (!this.#isLive) return
    const { type, key = '', part } = packet.event!
    if (this.#doubts !== undefined || this.#settled !== undefined) {
      const name = keyOf(type, key)
      if (this.#doubts?.has(name) === true || change <= (this.#settled?.get(name) ?? 0)) return
    }
    if (this.#ahead !== undefined && this.#has(this.#ahead, part!)) return
    // Versions do not tell: a stretch that was found late is older than what was sent of other texts.
    if (change > this.#brought) this.#member.send(packet, flush)
  }

  /** Whether the member has a stretch by its cursor, so that this node only catches up with it. */
  #has ({ known: { version = 0, lengths }, until }: Ahead, part: Part): boolean {
    if (part.version >= version || performance.now() >= until) this.#ahead = undefined
    return part.version <= version && !isMore(lengths?.get(part.begun), part)
  }
}

/** Whether a text has more than the length that a member has of it by its cursor. */
function isMore (length: number | undefined, { to, end }: Part): boolean {
  return length !== undefined && (length < to || (length === to && end !== undefined))
}

/** Whether the text begins with what a member has of it. */
function isOf ({ named, has }: Doubt, part: Part): boolean {
  return has !== undefined ? has.begun === part.begun : named === undefined || startsWith(part, named)
}

function namedOf (
  known: KnownTexts | undefined,
  type: string,
  key: string,
  part: Part
): KnownText | undefined {
  const named = known?.named?.find(([event, of]) => event === type && of === key)
  return named !== undefined && named[2] <= part.to ? named : undefined
}
