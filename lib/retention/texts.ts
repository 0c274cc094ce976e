import { isMark, markOf, type Part } from '../protocol/part.js'
import { keyOf } from '../protocol/key.js'
import { Link, LinkedList } from '../structures/linked-list.js'
import { MAX_TEXTS } from './bounds.js'
import { Retained } from './retention.js'

/** A text as it is kept. */
export interface Text {
  /** The name of the event. */
  readonly type: string
  /** The value of the key property. */
  readonly key: string
  /** When it was changed last, in Unix milliseconds by the writer's clock, for readers only. */
  readonly timestamp: number
  /** The whole text, or the mark of one that gave way. */
  readonly part: Part
}

interface Kept<T extends Text> {
  readonly name: string
  readonly text: T
  /** When it was changed last, and until when it is kept: for ever while it grows. */
  readonly changedAt: number
  readonly until: number
}

/** Estimated bytes of the containers that a room needs for its texts, and of those of one text. */
const ROOM = 512
const OVERHEAD = 512

export function nameOf ({ type, key }: Pick<Text, 'type' | 'key'>): string { return keyOf(type, key) }

/** Bytes that a text is charged: a character takes two of them where one of the text is beyond Latin-1. */
function costOf ({ part: { before, inside } }: Text): number { return (before.length + inside.length) * 2 + OVERHEAD }

/**
 * Holds the texts of one room by type and key. This class bounds their number, a `Retention` bounds their time and
 * bytes. A text that grows is kept until it ends; of one that gives way for want of bytes a mark may be left, so that
 * what is appended to it is known to follow, and it is known to be kept elsewhere.
 */
export class Texts<T extends Text = Text> extends Retained {
  readonly #texts = new Map<string, Link<Kept<T>>>()
  /** In the order of their last changes. */
  readonly #growing = new LinkedList<Kept<T>>()
  readonly #ended = new LinkedList<Kept<T>>()
  /** Marks of texts that grow, and of those that have ended, in the order in which they gave way or were changed. */
  readonly #marks = new LinkedList<Kept<T>>()
  readonly #endedMarks = new LinkedList<Kept<T>>()
  readonly #ttl: number
  readonly #onEmpty: (() => void) | undefined
  readonly #hasMarks: boolean
  #bytes = 0

  /**
   * @param ttl milliseconds for which a text is kept after its end
   * @param hasMarks whether a text that gives way leaves a mark
   */
  constructor (ttl: number, onEmpty?: () => void, hasMarks = false) {
    super()
    this.#ttl = ttl
    this.#onEmpty = onEmpty
    this.#hasMarks = hasMarks
  }

  get bytes (): number { return this.#texts.size === 0 ? 0 : this.#bytes + ROOM }
  get ends (): number { return this.#firstEnded?.item.until ?? Number.POSITIVE_INFINITY }
  get #firstEnded (): Link<Kept<T>> | undefined {
    const [text, mark] = [this.#ended.first, this.#endedMarks.first]
    return text === undefined || (mark !== undefined && mark.item.until < text.item.until) ? mark : text
  }

  /** Whether every text grows, and there is no place for another. */
  get isFull (): boolean { return this.#growing.size >= MAX_TEXTS }
  get isGrowing (): boolean { return this.#growing.size > 0 || this.#marks.size > 0 }

  /** The events of which texts grow; once it has found `most` it looks no further. */
  growingTypes (most: number): string[] {
    const types = new Set<string>()
    for (const list of [this.#growing, this.#marks]) {
      for (const { text: { type } } of list) {
        types.add(type)
        if (types.size === most) return [...types]
      }
    }
    return [...types]
  }

  /** Returns a whole text. */
  get (name: string, now: number): T | undefined {
    const text = this.known(name, now)
    return text !== undefined && isMark(text.part) ? undefined : text
  }

  /** Returns a text, or its mark. */
  known (name: string, now: number): T | undefined {
    const kept = this.#texts.get(name)?.item
    return kept !== undefined && kept.until > now ? kept.text : undefined
  }

  /** Yields the texts that grow, and the marks of such, that were not changed after a time. */
  * silent (since: number): Generator<T> {
    for (const { text, changedAt } of this.#marks) if (changedAt <= since) yield text
    for (const { text, changedAt } of this.#growing) {
      if (changedAt > since) return
      yield text
    }
  }

  /** All marks. */
  marks (now: number): T[] {
    const found: T[] = []
    for (const list of [this.#endedMarks, this.#marks]) {
      for (const { text, until } of list) if (until > now) found.push(text)
    }
    return found
  }

  /** All whole texts, in the order of their versions. */
  all (now: number): T[] {
    const found: T[] = []
    for (const list of [this.#ended, this.#growing]) {
      for (const { text, until } of list) if (until > now) found.push(text)
    }
    return found.sort((a, b) => a.part.version - b.part.version)
  }

  /** @param age milliseconds since its end, where it has ended */
  set (text: T, now: number, age = 0): void {
    this.#put(text, now, age)
    // While all texts grow it is looked at rarely; from now on it is due when this one is.
    if (text.part.end !== undefined) this.byEnd.remove()
    if (this.#texts.size <= MAX_TEXTS) return
    const first = this.#firstEnded ?? this.#marks.first ?? this.#growing.first
    if (first !== undefined) this.#drop(first)
  }

  #put (text: T, now: number, age = 0): void {
    const name = nameOf(text)
    const known = this.#texts.get(name)
    if (known !== undefined) this.#drop(known)
    const hasEnded = text.part.end !== undefined
    const [texts, marks] = hasEnded ? [this.#ended, this.#endedMarks] : [this.#growing, this.#marks]
    const link = new Link<Kept<T>>({
      name,
      text,
      changedAt: now,
      until: hasEnded ? now - age + this.#ttl : Number.POSITIVE_INFINITY
    })
    this.#texts.set(name, link)
    ;(isMark(text.part) ? marks : texts).push(link)
    this.#bytes += costOf(text)
  }

  /** Counts the silence of all texts that grow from now on. */
  touch (now: number): void {
    for (const { text } of [...this.#growing, ...this.#marks]) this.set(text, now)
  }

  /** Drops the text that has ended first, or where all grow that which was changed longest ago, and marks at last. */
  shift (): void {
    const first = this.#ended.first ?? this.#growing.first ?? this.#endedMarks.first ?? this.#marks.first
    if (first === undefined) return
    const { text, changedAt, until } = first.item
    this.#drop(first)
    if (!this.#hasMarks || isMark(text.part)) return
    const part = markOf(text.part)
    const age = part.end === undefined ? 0 : changedAt + this.#ttl - until
    if (isMark(part)) this.#put({ ...text, part }, changedAt, age)
  }

  override shiftExpired (): void {
    const first = this.#firstEnded
    if (first !== undefined) this.#drop(first)
  }

  override emptied (): void { this.#onEmpty?.() }

  #drop (link: Link<Kept<T>>): void {
    link.remove()
    this.#texts.delete(link.item.name)
    this.#bytes -= costOf(link.item.text)
  }
}
