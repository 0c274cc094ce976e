import type { KeptText, RoomSettings, TextStore } from '../adapters/adapter.js'
import { keyOf } from '../protocol/key.js'
import { encodeKept, encodeLost, encodePart } from '../protocol/part-frames.js'
import { beforeOf, grown, isMark, restOf, type KnownText } from '../protocol/part.js'
import type { Packet } from '../protocol/packet.js'
import type { Retention } from '../retention/retention.js'
import { nameOf, Texts } from '../retention/texts.js'
import { after } from '../structures/timers.js'
import type { TextRule } from './declaration.js'
import { SilentTexts } from './silent-texts.js'

/** What the texts of a room need from outside. */
export interface RoomTextsHost {
  readonly retention: Retention
  readonly store: TextStore
  readonly settings: RoomSettings
  /** What is declared of its texts. */
  readonly rules: ReadonlyMap<string, TextRule>
  /** Gives a text that was read to the room, as if it had arrived. */
  readonly take: (packet: Packet) => void
  /** Called when the first of its texts begins to grow. */
  readonly onGrowing: (texts: RoomTexts) => void
}

/** What is kept of a text, where anything is; false where nobody can tell now. */
type Found = KeptText | undefined | false

/** Milliseconds of silence after which a text that grows is compared with what the adapter keeps. */
const QUIET = 5_000
/** Milliseconds for which the frames of whole texts are kept: nobody is charged for them. */
const TOGETHER = 1_000

/**
 * The texts of one room as this node knows them, while it has members here. What arrives is checked by its `from`:
 * where a stretch is missing, the text is read again.
 */
export class RoomTexts {
  readonly #room: string
  readonly #host: RoomTextsHost
  readonly #texts: Texts
  /** Texts that are being read again, and what is kept of them. */
  readonly #reading = new Map<string, Promise<Found>>()
  /** The frames of whole texts that were asked for last, as members come together. */
  #whole = new WeakMap<object, Packet>()
  #emptier: NodeJS.Timeout | undefined
  readonly #silent = new SilentTexts()
  /** Number of changes, in the order in which this node has heard of them. */
  changes = 0
  /** The newest version of which this node has heard. */
  newest = 0
  #isChecking = false
  #isClosed = false

  constructor (room: string, host: RoomTextsHost) {
    this.#room = room
    this.#host = host
    this.#texts = new Texts(host.settings.append!.ttl, undefined, true)
  }

  get isGrowing (): boolean { return this.#texts.isGrowing && !this.#isClosed }

  /** The events of which texts grow. */
  get growing (): string[] { return this.#texts.growingTypes(this.#host.rules.size) }

  /** Takes over what the adapter keeps, when the room is opened. */
  opened (texts: readonly KeptText[]): void { for (const text of texts) this.#set(text) }

  /** All texts that are here as a whole, in the order of their versions. */
  all (): KeptText[] { return this.#texts.all(performance.now()) }

  /** The marks of those that gave way: the adapter has the whole. */
  marks (): KeptText[] { return this.#texts.marks(performance.now()) }

  /** Whether of a text only a mark is here. */
  isMarked (type: string, key: string): boolean {
    const text = this.#known(type, key)
    return text !== undefined && isMark(text.part)
  }

  /** The text, or its mark. */
  #known (type: string, key: string): KeptText | undefined {
    return this.#texts.known(keyOf(type, key), performance.now())
  }

  get (type: string, key: string): KeptText | undefined { return this.#texts.get(keyOf(type, key), performance.now()) }

  /** The frame of a text from a length on. */
  frame (text: KeptText, from: number): Packet {
    const head = { ...text, room: this.#room }
    if (from > 0) return encodePart(head, restOf(text.part, from))
    let packet = this.#whole.get(text.part)
    if (packet === undefined) {
      packet = encodePart(head, text.part)
      this.#whole.set(text.part, packet)
      this.#emptier ??= after(() => {
        this.#whole = new WeakMap()
        this.#emptier = undefined
      }, TOGETHER).unref()
    }
    return packet
  }

  /** The end of a text that a member has and nobody keeps; nothing for an event that is not declared. */
  lost (type: string, key: string, from: number): Packet | undefined {
    const rule = this.#host.rules.get(type)
    if (rule === undefined) return undefined
    const before = beforeOf({ [rule.key]: key }, rule.key, rule.append, rule.isList)
    return encodeLost({ type, room: this.#room, key, timestamp: Date.now() }, { before, isList: rule.isList }, from)
  }

  /**
   * Takes a stretch that has arrived.
   *
   * @returns what the members have to be offered; nothing for what is known already, and where something is missing
   */
  take (packet: Packet): Packet | undefined {
    const { type, key = '', timestamp, age } = packet.event!
    const part = packet.event!.part!
    const known = this.#known(type, key)?.part
    const whole = grown(known, part)
    if (whole === known && known !== undefined) return undefined
    if (whole === undefined) {
      void this.look(type, key)
      return undefined
    }
    const text = { type, key, timestamp, part: whole, age }
    this.#set(text)
    // Who is here hears of a text with its first part; who comes before that is brought the empty one.
    if (whole.to === 0 && whole.end === undefined) return undefined
    if (known === undefined || part.from > 0 || part.begun !== known.begun || part.to < known.to) return packet
    // It was read again, and the members have its beginning.
    if (part.version === known.version) return undefined
    if (part.to === known.to && part.end === undefined) return undefined
    return encodePart({ ...text, room: this.#room }, restOf(whole, known.to))
  }

  #set (text: KeptText): void {
    const wasGrowing = this.#texts.isGrowing
    const now = performance.now()
    this.#texts.set(text, now, text.age)
    this.changes++
    this.newest = Math.max(this.newest, text.part.version)
    if (this.#isClosed) return
    this.#host.retention.changed(this.#texts, now)
    if (!wasGrowing && this.#texts.isGrowing) this.#host.onGrowing(this)
  }

  /** Whether a member may have heard more of a text than this node, where the text is kept at all. */
  isBehind ([type, key, length, , hasEnded]: KnownText): boolean {
    if (!this.#host.rules.has(type)) return false
    const known = this.#known(type, key)?.part
    return known === undefined ? hasEnded !== 1 : known.end === undefined && known.to < length
  }

  /**
   * Takes what is kept of a text of which something is missing here, or of which a member has heard more. All who ask
   * while it is read share one answer.
   *
   * @returns false where nobody can tell now
   */
  async look (type: string, key: string): Promise<boolean> { return await this.whole(type, key) !== false }

  /** Does the same, for the whole of a text as it stands here, which may give way again at once. */
  async whole (type: string, key: string): Promise<Found> {
    const name = keyOf(type, key)
    const known = this.#reading.get(name)
    if (known !== undefined) return await known
    const reading = this.#read(type, key)
      .finally(() => { this.#reading.delete(name) })
      .then((found): Found => {
        this.#took(found)
        const known = this.#known(type, key)
        if (known === undefined || !isMark(known.part)) return known ?? found[0]
        const text = found.find(({ part }) => part.version === known.part.version)
        // One that grows is written again by its writer, or ends as lost.
        return text ?? (found.length === 0 && known.part.end !== undefined ? undefined : false)
      })
      .catch((): Found => false)
    this.#reading.set(name, reading)
    return await reading
  }

  async #read (type: string, key: string): Promise<readonly KeptText[]> {
    const { store, settings } = this.#host
    return await store.read(this.#room, settings, { type, key })
  }

  #took (found: readonly KeptText[]): void {
    if (this.#isClosed) return
    for (const text of found) this.#host.take(encodeKept(this.#room, text))
  }

  /**
   * Compares the texts that are silent with what the adapter keeps: the last stretch of each may have been lost on the
   * way, or its writer.
   */
  async check (now: number): Promise<void> {
    if (this.#isChecking || this.#isClosed) return
    const silent = [...this.#texts.silent(now - QUIET)]
    if (silent.length === 0) return
    this.#isChecking = true
    try {
      const { store, settings } = this.#host
      const known = silent.map(({ type, key, part: { version, begun, to } }) => ({ type, key, version, begun, to }))
      this.#took(await store.check(this.#room, known, settings))
      const due = await this.#toRead(this.#silent.due(silent, now), now)
      await Promise.all(due.map((text) => this.#find(text, now)))
    } catch {
      // The broker is away; the next check comes in seconds.
    } finally {
      this.#isChecking = false
    }
  }

  /** Chooses the texts that are read: what is kept, and was compared, may be large and is not transferred for that. */
  async #toRead (due: readonly KeptText[], now: number): Promise<readonly KeptText[]> {
    const { store, settings } = this.#host
    const asked = due.filter((text) => !this.#silent.isToBeRead(text, now))
    if (store.missing === undefined || asked.length === 0) return due
    const missing = await store.missing(this.#room, asked.map(({ type, key }) => ({ type, key })), settings)
    const names = new Set(missing.map(nameOf))
    const there = new Set(asked.filter((text) => !names.has(nameOf(text))))
    for (const text of there) this.#silent.isThere(text, now)
    return due.filter((text) => !there.has(text))
  }

  /** Reads a text that is silent, and ends it as lost where nobody keeps it any more. */
  async #find (text: KeptText, now: number): Promise<void> {
    const { type, key, part } = text
    if (this.#known(type, key) !== text) return
    const found = await this.#read(type, key)
    this.#took(found)
    if (!this.#silent.isLost(text, found.length === 0, now) || this.#isClosed || this.#known(type, key) !== text) return
    // What a writer that lives after all writes again has a version that is above this one.
    const lost = { ...part, from: part.to, inside: '', end: 'lost', version: part.version + 1 } as const
    this.#host.take(encodePart({ type, key, room: this.#room, timestamp: Date.now() }, lost))
  }

  /** Counts silence from now on: while the broker was away nobody could write. */
  touch (now: number): void {
    this.#texts.touch(now)
    this.#silent.touch()
  }

  close (): void {
    this.#isClosed = true
    this.#host.retention.remove(this.#texts)
  }

  /** The name by which a member remembers a text. */
  static nameOf (text: KeptText): string { return nameOf(text) }
}
