import { encodePart } from '../../protocol/part-frames.js'
import { grown, type Part } from '../../protocol/part.js'
import type { Packet } from '../../protocol/packet.js'
import { isOffset } from '../../protocol/position.js'
import { DAY, MAX_TEXTS } from '../../retention/bounds.js'
import { nameOf } from '../../retention/texts.js'
import { ExpiringMap } from '../../structures/expiring-map.js'
import { inBatches } from '../../structures/slices.js'
import type { KeptText, KnownHere, RoomSettings, TextStore, TextWrite, TextWritten } from '../adapter.js'
import { checkVersion, Undecodable } from '../broker/decode.js'
import { originOf, splitOrigin } from '../broker/payload.js'
import { isFields, parseJson } from '../broker/stored.js'
import { decodeStretch, linesOf, readLines, writeLines, type StretchLines } from '../broker/text-payload.js'
import type { Unread } from '../broker/unread.js'
import { publishBehind } from './behind.js'
import type { NatsClock } from './clock.js'
import { away, isConflict, type NatsLink } from './link.js'
import type { NatsLives, NumberedPlan } from './lives.js'
import { piecesOf } from './pieces.js'
import type { Kept } from './pages.js'
import { fetchCurrent } from './reading.js'
import { decoded, type NatsState } from './state.js'
import { stateKey, tokenOf } from './tokens.js'

export interface NatsTextsOptions {
  readonly link: NatsLink
  readonly lives: NatsLives
  readonly clock: NatsClock
  /** Where the names of each room's texts are kept. */
  readonly state: NatsState
  readonly prefix: string
  /** Names this adapter among all that publish. */
  readonly tag: string
  /** Milliseconds that a message id is remembered. */
  readonly idempotency: number
  readonly unread: Unread
}

type Which = Pick<KeptText, 'type' | 'key'>

/** What a message says besides its stretch: who wrote it, and where it stands. */
interface Step {
  readonly writer: string
  readonly number: number
  readonly lease: number
  readonly from: number
  readonly to: number
  /** Absent in the message that begins the text, whose own version it is. */
  readonly begun: number | undefined
  readonly hasEnded: boolean
  readonly isLost: boolean
  /** Whether the rest of the step is in the messages that follow. */
  readonly isPiece: boolean
  /** Whether it stands where a text was that gave way to another one. */
  readonly isMark: boolean
}

/** A message of the stream, read. */
interface Told extends Step { readonly seq: number, readonly time: number, readonly text: string }

/** What has been published of a step: the numbers of its first and its last message. */
interface Done { readonly first: number, readonly seq: number, readonly begun: number }

/** A text that is being read. */
interface Found extends Omit<KeptText, 'age'> { readonly isPiece: boolean, readonly time: number }

/** Where the text of a writer of this node stands. */
interface Own {
  readonly writer: string
  readonly number: number
  readonly seq: number
  readonly to: number
  readonly begun: number
  /** Steps since it was written as a whole. */
  since: number
  /** Bytes of the inside of its JSON; infinite where this node has not written all of it. */
  readonly bytes: number
}

/** Texts that this node writes of which it remembers where they stand; of others the server is asked. */
const MAX_OWN = 10_000
/** Steps after which the text is written again as a whole, so that what is behind it can go. */
const STEPS = 256
/** Bytes of a text that is written again for that so often; a larger one is in proportion to its size less often. */
const WHOLE = 262_144
/** Texts of a full room that are looked at for one that begins. */
const SOME = 32
/** Attempts to empty a text before it counts as written too fast. */
const TRIES = 100
/** Bytes of a message beside the lines of its text. */
const ENVELOPE = 1_024

/**
 * The texts of `append` events in one stream: a message for each step, under a subject of its own for each text. The
 * stream's numbers order the changes of all texts, and it forwards each to the nodes. A step is accepted only behind
 * the one before it, so that a writer that has lost its key writes nothing more. The last message of a subject is never
 * removed before its time: what a new writer names as the one before its own is there for the server to compare.
 */
export class NatsTexts implements TextStore {
  readonly plan: NumberedPlan
  readonly #options: NatsTextsOptions
  /** Texts that this node writes, by their subjects. */
  readonly #own = new ExpiringMap<Own>(MAX_OWN)
  #count = 0

  constructor (options: NatsTextsOptions) {
    this.#options = options
    const { prefix, idempotency } = options
    this.plan = {
      name: `${prefix}_texts`,
      subjects: [`${prefix}.text.*.*`],
      maxAge: DAY,
      duplicates: idempotency,
      republish: [`${prefix}.text.*.*`, `${prefix}.stretch.{{wildcard(1)}}.{{wildcard(2)}}`],
      probe: `${prefix}.text.~.~`
    }
  }

  #ownOf (subject: string): Own | undefined { return this.#own.get(subject, performance.now()) }

  #owns (subject: string, own: Own): void {
    const now = performance.now()
    this.#own.set(subject, own, now + DAY, now)
  }

  #subject (room: string, which: Which): string { return this.#named(room, nameOf(which)) }

  #named (room: string, name: string): string {
    return `${this.#options.prefix}.text.${tokenOf(room)}.${tokenOf(name)}`
  }

  async write (room: string, step: TextWrite, settings: RoomSettings): Promise<TextWritten> {
    const subject = this.#subject(room, step)
    const own = this.#ownOf(subject)
    const written = step.number === 0
      ? await this.#begin(room, subject, step, settings)
      : await this.#goOn(subject, step, own?.writer === step.writer ? own : undefined)
    if (written === 'lost' && own?.writer === step.writer) this.#own.delete(subject)
    if (written === 'written' && step.part.end !== undefined) {
      this.#own.delete(subject)
      await this.#listed(room, nameOf(step), settings, true)
    }
    return written
  }

  async #begin (room: string, subject: string, step: TextWrite, settings: RoomSettings): Promise<TextWritten> {
    const { clock } = this.#options
    let last = await this.#last(subject)
    const isOwn = (): boolean => last?.writer === step.writer && last.number === 0
    if (isOwn()) return 'written'
    if (last !== undefined && !last.hasEnded) {
      if (last.time + last.lease > clock.now()) return 'busy'
      await this.#lose(subject, last)
      last = await this.#last(subject)
      // Its writer was faster, or another one that wants the key.
      if (last?.hasEnded === false) return 'busy'
    }
    if (last !== undefined && !last.isLost && last.time + settings.append!.ttl > clock.now()) return 'ended'
    if (!await this.#listed(room, nameOf(step), settings, false)) {
      await this.#endSome(room, settings)
      if (!await this.#listed(room, nameOf(step), settings, false)) return 'full'
    }
    const done = await this.#publish(subject, step, last?.seq ?? 0, undefined)
    if (done === undefined) {
      // It may be this very step, sent before without an answer and accepted meanwhile.
      last = await this.#last(subject)
      return isOwn() ? 'written' : 'busy'
    }
    const { seq, begun } = done
    this.#owns(subject, { writer: step.writer, number: 0, seq, to: 0, begun, since: 0, bytes: 0 })
    return 'written'
  }

  async #goOn (subject: string, step: TextWrite, own: Own | undefined): Promise<TextWritten> {
    const { from, to, inside } = step.part
    if (own === undefined) return await this.#recover(subject, step)
    if (own.number === step.number) return 'written'
    const isWhole = from === 0 && own.to > 0
    if (from !== 0 && (own.number !== step.number - 1 || own.to !== from)) {
      return await this.#recover(subject, step, own.bytes)
    }
    // The writer writes the whole again, which is one message in place of many.
    const bytes = (from === 0 ? 0 : own.bytes) + Buffer.byteLength(inside)
    const isDue = own.since >= STEPS * Math.max(1, bytes / WHOLE)
    if (!isWhole && isDue && bytes <= this.#most(linesOf(step))) {
      own.since = 0
      return 'behind'
    }
    const done = await this.#publish(subject, step, own.seq, own.begun)
    if (done === undefined) return await this.#recover(subject, step, own.bytes)
    const since = isWhole ? 0 : own.since + 1
    this.#owns(subject, { ...own, number: step.number, seq: done.seq, to, since, bytes })
    if (isWhole) this.#purge(subject, done.first)
    return 'written'
  }

  /**
   * Finds out why a step was not accepted: it was before, and its answer was lost; another writer has the key; or the
   * server has not what was there, and takes the whole.
   *
   * @param bytes of what was there, where that is known
   */
  async #recover (subject: string, step: TextWrite, bytes = Number.POSITIVE_INFINITY): Promise<TextWritten> {
    const { writer, number, part: { from, to, inside } } = step
    const size = (from === 0 ? 0 : bytes) + Buffer.byteLength(inside)
    const last = await this.#last(subject)
    if (last !== undefined && (last.writer !== writer || last.hasEnded)) {
      const isOwnEnd = last.writer === writer && last.number === number
      return isOwnEnd ? 'written' : 'lost'
    }
    const begun = last === undefined ? undefined : last.begun ?? await this.#version(last.seq)
    if (last?.number === number && !last.isPiece) {
      this.#owns(subject, { writer, number, seq: last.seq, to, begun: begun!, since: 0, bytes: size })
      return 'written'
    }
    if (last !== undefined && from !== 0 && last.number === number - 1 && last.to === from) {
      this.#owns(subject, { writer, number: last.number, seq: last.seq, to: from, begun: begun!, since: 0, bytes })
      return await this.#goOn(subject, step, this.#ownOf(subject))
    }
    if (from !== 0) return 'behind'
    const done = await this.#publish(subject, step, last?.seq ?? 0, begun)
    if (done === undefined) return 'behind'
    this.#owns(subject, { writer, number, seq: done.seq, to, begun: done.begun, since: 0, bytes: size })
    return 'written'
  }

  /**
   * @param at length behind which it ends
   * @returns the number of the message; `undefined` where another one is the last of its subject
   */
  async #lose (subject: string, last: Told, at = last.to): Promise<number | undefined> {
    const { seq, writer, number, lease, begun, text } = last
    const { head, before } = linesIn(text)
    return await this.#send(
      subject,
      { w: writer, n: number, l: lease, f: at, o: at, b: begun ?? await this.#version(seq) },
      writeLines({ head, end: '"lost"', before, inside: '' }),
      seq
    )
  }

  /** Empties each text of a room, and ends it as lost. */
  async clear (room: string, settings: RoomSettings): Promise<void> {
    const { state, unread } = this.#options
    const names = decoded('texts', await state.read(stateKey('texts', room)), decodeNames, unread) ?? []
    await inBatches(names, SOME, async ([name]) => { await this.#empty(room, name, settings) })
  }

  async #empty (room: string, name: string, settings: RoomSettings): Promise<void> {
    const subject = this.#named(room, name)
    for (let tries = 0; tries < TRIES; tries++) {
      const last = await this.#last(subject)
      if (last === undefined || last.isMark) return
      const seq = last.isLost && last.to === 0 ? last.seq : await this.#lose(subject, last, 0)
      // Its writer was faster.
      if (seq === undefined) continue
      await this.#removeBefore(subject, seq)
      await this.#listed(room, name, settings, true)
      return
    }
    throw away()
  }

  /**
   * Lets a text give way that has ended. What is left in its place keeps two that want its key at once from both being
   * the first.
   */
  async #giveWay (subject: string): Promise<void> {
    const last = await this.#last(subject)
    // Its key may have been taken again meanwhile.
    if (last?.hasEnded !== true) return
    const { head, before } = linesIn(last.text)
    const lines = writeLines({ head, end: '', before, inside: '' })
    const seq = await this.#send(subject, { w: '', n: 0, l: 0, f: 0, o: 0 }, lines, last.seq)
    if (seq !== undefined) this.#purge(subject, seq)
  }

  /** Bytes that the inside of a text may have in one message. */
  #most ({ head, end, before }: StretchLines): number {
    return this.#options.link.maxPayload - ENVELOPE - Buffer.byteLength(head + end + before)
  }

  /**
   * Publishes a step, in several messages where one would be too large for the server.
   *
   * @returns `undefined` where another message is the last of its subject
   */
  async #publish (
    subject: string,
    step: TextWrite,
    last: number,
    begun: number | undefined
  ): Promise<Done | undefined> {
    const { writer, number, lease, part } = step
    const lines = linesOf(step)
    let done: Done | undefined
    for (const { inside, from, to } of piecesOf(part, this.#most(lines))) {
      const isPiece = to < part.to
      const b = done?.begun ?? begun
      const said = { w: writer, n: number, l: lease, f: from, o: to, ...(b === undefined ? {} : { b }) }
      const seq = await this.#send(
        subject,
        isPiece ? { ...said, p: 1 } : said,
        writeLines({ ...lines, end: isPiece ? '' : lines.end, inside }),
        done?.seq ?? last
      )
      if (seq === undefined) return undefined
      done = { first: done?.first ?? seq, seq, begun: b ?? await this.#version(seq) }
    }
    return done
  }

  /** @returns the number of the message; `undefined` where another one is the last of its subject */
  async #send (subject: string, said: object, lines: string, last: number): Promise<number | undefined> {
    const { link, lives, tag } = this.#options
    const origin = `${tag}-t${(++this.#count).toString(36)}`
    try {
      return await lives.use(this.plan, async ({ life }) => {
        return await publishBehind(link, {
          stream: this.plan.name,
          subject,
          text: `${origin}@${life.epoch}\n${JSON.stringify(said)}\n${lines}`,
          last,
          key: subject,
          probe: this.plan.probe
        })
      }, 'change')
    } catch (error) {
      if (isConflict(error)) return undefined
      throw error
    }
  }

  async #last (subject: string): Promise<Told | undefined> {
    const { link, lives, unread } = this.#options
    const query = { last_by_subj: subject }
    const found = await lives.use(this.plan, () => link.jsm.streams.getMessage(this.plan.name, query))
    if (found === null) return undefined
    const text = Buffer.from(found.data).toString()
    try {
      return toldBy({ subject, seq: found.seq, time: found.time.getTime(), text })
    } catch (error) {
      unread.failed(error, 'text', text.length)
      return undefined
    }
  }

  async #version (seq: number): Promise<number> { return (await this.#options.lives.open(this.plan)).life.shift + seq }

  /** Removes the messages of a subject before a number; where that fails, they end by their age. */
  #purge (subject: string, seq: number): void { this.#removeBefore(subject, seq).catch(() => {}) }

  async #removeBefore (subject: string, seq: number): Promise<void> {
    const { link } = this.#options
    await link.attempt(() => link.jsm.streams.purge(this.plan.name, { filter: subject, seq }))
  }

  /**
   * Keeps the list of a room's texts, by which their number is bounded: the one that ended first gives way.
   *
   * @returns false when the room is full of texts that grow
   */
  async #listed (room: string, name: string, { append }: RoomSettings, hasEnded: boolean): Promise<boolean> {
    const { state, clock, unread } = this.#options
    let gone: string[] = []
    const isListed = await state.change(stateKey('texts', room), (value) => {
      const now = clock.now()
      const names = new Map(decoded('texts', value, decodeNames, unread))
      gone = []
      names.delete(name)
      for (const [each, endedAt] of names) if (endedAt > 0 && endedAt + append!.ttl <= now) names.delete(each)
      if (!hasEnded && names.size >= MAX_TEXTS) {
        const first = [...names].filter(([, endedAt]) => endedAt > 0).sort((a, b) => a[1] - b[1])[0]?.[0]
        if (first === undefined) return { result: false }
        names.delete(first)
        gone.push(first)
      }
      names.set(name, hasEnded ? now : 0)
      return { value: JSON.stringify([...names]), result: true }
    })
    for (const each of gone) await this.#giveWay(this.#named(room, each))
    return isListed
  }

  /**
   * Ends texts of a full room whose writers are gone, which nobody else notices where no node has members. Each is a
   * question to the server, so it is some of them, others every time.
   */
  async #endSome (room: string, settings: RoomSettings): Promise<void> {
    const { state, clock, unread } = this.#options
    const names = decoded('texts', await state.read(stateKey('texts', room)), decodeNames, unread) ?? []
    const growing = names.filter(([, endedAt]) => endedAt === 0)
    const from = Math.floor(Math.random() * Math.max(1, growing.length - SOME))
    await Promise.all(growing.slice(from, from + SOME).map(async ([name]) => {
      const subject = this.#named(room, name)
      const last = await this.#last(subject)
      if (last?.hasEnded === false) {
        if (last.time + last.lease > clock.now()) return
        await this.#lose(subject, last)
      }
      await this.#listed(room, name, settings, true)
    }))
  }

  async read (room: string, { append }: RoomSettings, which?: Which): Promise<KeptText[]> {
    const { clock, prefix } = this.#options
    const subject = which === undefined ? `${prefix}.text.${tokenOf(room)}.*` : this.#subject(room, which)
    const { messages, life: { shift } } = await fetchCurrent(this.#options, this.plan, subject)
    const texts = new Map<string, Found>()
    for (const message of messages) this.#put(texts, message, shift)
    const now = clock.now()
    return [...texts.values()]
      // The rest of a step is on its way, and brings the nodes here again.
      .filter(({ isPiece }) => !isPiece)
      .map(({ isPiece: _isPiece, time, ...text }): KeptText => {
        return text.part.end === undefined ? text : { ...text, age: Math.max(0, now - time) }
      })
      .filter(({ age = 0 }) => age < append!.ttl)
      .sort((a, b) => a.part.version - b.part.version)
  }

  /** Puts a message behind what is there of its text. */
  #put (texts: Map<string, Found>, message: Kept, shift: number): void {
    const { subject, time, text } = message
    const known = texts.get(subject)
    try {
      const { isMark, isPiece, part, ...head } = stretchOf(message, shift)
      if (isMark) texts.delete(subject)
      if (isMark || (known?.part.begun === part.begun && isRenewal(part))) return
      const whole = grown(known?.part, part)
      if (whole !== undefined) texts.set(subject, { ...head, part: whole, isPiece, time })
    } catch (error) {
      this.#options.unread.failed(error, 'text', text.length)
    }
  }

  async check (
    room: string,
    known: readonly KnownHere[],
    settings: RoomSettings
  ): Promise<KeptText[]> {
    const { clock } = this.#options
    const changed: KeptText[] = []
    for (const { version, begun, to, ...which } of known) {
      const subject = this.#subject(room, which)
      const last = await this.#last(subject)
      if (last === undefined) continue
      if (!last.hasEnded && last.time + last.lease <= clock.now()) {
        await this.#lose(subject, last)
        await this.#listed(room, nameOf(which), settings, true)
      }
      // Behind what is known the writer has only renewed its lease.
      if (!last.hasEnded && last.from === last.to && last.to === to && last.begun === begun) continue
      if (await this.#version(last.seq) !== version) changed.push(...await this.read(room, settings, which))
    }
    return changed
  }

  async missing (room: string, texts: readonly Which[]): Promise<Which[]> {
    const last = await Promise.all(texts.map(async (which) => await this.#last(this.#subject(room, which))))
    return texts.filter((_text, index) => last[index]?.isMark !== false)
  }

  /**
   * Reads a stretch that was forwarded.
   *
   * @returns the packet; nothing for a message that changes nothing of the text by itself, `unknown` for one of a life
   *   of the stream that is not known here
   * @throws Undecodable
   */
  arrived (room: string, sequence: number, text: string): Packet | 'unknown' | undefined {
    const { lives } = this.#options
    const [origin, epoch] = splitOrigin(originOf(text))
    const life = lives.current(this.plan.name)
    if (life === undefined || life.epoch !== epoch) {
      lives.forget(this.plan.name)
      return 'unknown'
    }
    lives.saw(this.plan.name, epoch, sequence, origin)
    const kept = { subject: '', seq: sequence, time: 0, text }
    const { isMark, isPiece, part, ...head } = stretchOf(kept, life.shift)
    // Who has the text is told of a step in pieces by the last of them, which follows nothing that is known here.
    if (isMark || isPiece || (isRenewal(part) && part.begun !== part.version)) return undefined
    return encodePart({ ...head, room }, part)
  }
}

/** @throws Undecodable */
function toldBy (kept: Kept): Told {
  const first = kept.text.indexOf('\n')
  const said = parseJson(kept.text.slice(first + 1, kept.text.indexOf('\n', first + 1)))
  if (!isFields(said)) throw new Undecodable('a step of a text')
  const { w, n, l, f, o, b, p } = said
  if (typeof w !== 'string' || !isOffset(n) || !isOffset(l) || !isOffset(f) || !isOffset(o) ||
    (b !== undefined && !isOffset(b))) {
    throw new Undecodable('a step of a text')
  }
  const { end } = linesIn(kept.text)
  const step = { writer: w, number: n, lease: l, from: f, to: o, begun: b, isPiece: p === 1, isMark: w === '' }
  // The key of a text that gave way is as free as that of one that was lost.
  return { ...kept, ...step, hasEnded: end !== '' || w === '', isLost: end === '"lost"' || w === '' }
}

function linesIn (text: string): ReturnType<typeof readLines> {
  return readLines(text.slice(text.indexOf('\n', text.indexOf('\n') + 1) + 1))
}

/** @throws Undecodable */
function stretchOf (
  kept: Kept,
  shift: number
): Omit<KeptText, 'age'> & Pick<Step, 'isMark' | 'isPiece'> {
  const { from, to, begun, seq, isMark, isPiece } = toldBy(kept)
  const version = checkVersion(shift + seq)
  const text = decodeStretch(linesIn(kept.text), { version, begun: begun ?? version, from, to })
  return { ...text, isMark, isPiece }
}

/** Whether a step changes nothing of the text: it only renews the lease, or takes the key. */
function isRenewal ({ inside, end }: Part): boolean { return inside === '' && end === undefined }

/** The names of a room's texts, each with the time of its end, 0 while it grows. */
function decodeNames (text: string): Array<[string, number]> | undefined {
  const value = parseJson(text)
  if (!Array.isArray(value)) return undefined
  const names = (value as unknown[]).filter((each): each is [string, number] => {
    return Array.isArray(each) && typeof each[0] === 'string' && isOffset(each[1])
  })
  return names
}
