import { encodePart } from '../../protocol/part-frames.js'
import { grown, type Part } from '../../protocol/part.js'
import type { Packet } from '../../protocol/packet.js'
import { Retention } from '../../retention/retention.js'
import { nameOf, Texts } from '../../retention/texts.js'
import { ShardedMap } from '../../structures/sharded-map.js'
import type { KeptText, KnownHere, RoomSettings, TextStore, TextWrite, TextWritten } from '../adapter.js'

type Which = Pick<KeptText, 'type' | 'key'>

export interface MemoryTextsOptions {
  /** Bytes of all texts. */
  readonly bytes: number
  /** Clock in milliseconds, and that of Unix time, at which versions begin. */
  readonly now: () => number
  readonly unix: () => number
  /** Gives a stretch to the members here. */
  readonly deliver: (room: string, packet: Packet) => void
}

interface OwnText extends KeptText {
  readonly writer: string
  /** Number of the writer's last step, and the time at which its lease is over. */
  readonly number: number
  readonly leaseUntil: number
  readonly endedAt: number
}

/** The texts of `append` events in memory. */
export class MemoryTexts implements TextStore {
  readonly #options: MemoryTextsOptions
  readonly #retention: Retention
  readonly #rooms = new ShardedMap<Texts<OwnText>>()
  /** It begins at the clock, above what a client may know of an earlier process. */
  #version = 0

  constructor (options: MemoryTextsOptions) {
    this.#options = options
    this.#retention = new Retention(options.bytes)
  }

  get bytes (): number { return this.#retention.bytes }
  /** Number of texts that were evicted before their time. */
  get evicted (): number { return this.#retention.evicted }

  /** @returns whether there is more to do now */
  sweep (most: number): boolean { return this.#retention.sweep(this.#options.now(), most) }

  write (room: string, step: TextWrite, settings: RoomSettings): TextWritten {
    const now = this.#options.now()
    const texts = this.#rooms.get(room)
    const known = texts?.get(nameOf(step), now)
    const isOwn = known?.writer === step.writer
    if (isOwn && known.number === step.number) return 'written'
    const state = step.number === 0 ? this.#begin(room, known, texts, now, settings) : this.#goOn(known, isOwn, step)
    if (state !== 'written') return state
    const version = this.#next()
    const part: Part = { ...step.part, version, begun: step.number === 0 || !isOwn ? version : known.part.begun }
    const hasNews = step.number === 0 || part.inside !== '' || part.end !== undefined
    const whole = part.from === 0 ? part : grown(known!.part, part)!
    this.#set(room, {
      ...headOf(step),
      part: hasNews || known === undefined ? whole : known.part,
      writer: step.writer,
      number: step.number,
      leaseUntil: now + step.lease,
      endedAt: now
    }, settings, now)
    if (hasNews) this.#options.deliver(room, encodePart({ ...headOf(step), room }, part))
    return 'written'
  }

  #begin (
    room: string,
    known: OwnText | undefined,
    texts: Texts<OwnText> | undefined,
    now: number,
    settings: RoomSettings
  ): TextWritten {
    if (known !== undefined && known.part.end === undefined) {
      if (known.leaseUntil > now) return 'busy'
      this.#lose(room, known, settings, now)
      return 'written'
    }
    if (known !== undefined && known.part.end !== 'lost') return 'ended'
    if (texts?.isFull !== true) return 'written'
    // The one that changed longest ago is the first whose lease may be over.
    const [oldest] = texts.silent(now)
    if (oldest === undefined || oldest.leaseUntil > now) return 'full'
    this.#lose(room, oldest, settings, now)
    return 'written'
  }

  #goOn (known: OwnText | undefined, isOwn: boolean, { number, part }: TextWrite): TextWritten {
    // What was evicted is written again by the one who has it.
    if (known === undefined) return part.from === 0 ? 'written' : 'behind'
    if (!isOwn || known.part.end !== undefined) return 'lost'
    return part.from === 0 || (known.number === number - 1 && known.part.to === part.from) ? 'written' : 'behind'
  }

  #lose (room: string, text: OwnText, settings: RoomSettings, now: number): void {
    const version = this.#next()
    const part: Part = { ...text.part, version, end: 'lost' }
    this.#set(room, { ...text, part, endedAt: now }, settings, now)
    this.#options.deliver(room, encodePart({ ...headOf(text), room }, { ...part, from: part.to, inside: '' }))
  }

  /** Empties each text of a room, and ends it as lost. */
  clear (room: string, settings: RoomSettings): void {
    const now = this.#options.now()
    for (const text of this.#rooms.get(room)?.all(now) ?? []) {
      const { part } = text
      if (part.to === 0 && part.end === 'lost') continue
      this.#lose(room, { ...text, part: { ...part, inside: '', to: 0 } }, settings, now)
    }
  }

  #next (): number { return (this.#version = Math.max(this.#version + 1, this.#options.unix())) }

  #set (room: string, text: OwnText, { append }: RoomSettings, now: number): void {
    let texts = this.#rooms.get(room)
    if (texts === undefined) {
      texts = new Texts<OwnText>(append!.ttl, () => { this.#rooms.delete(room) })
      this.#rooms.set(room, texts)
    }
    texts.set(text, now)
    this.#retention.changed(texts, now)
  }

  read (room: string, _settings: RoomSettings, which?: Which): KeptText[] {
    const now = this.#options.now()
    const texts = this.#rooms.get(room)
    if (texts === undefined) return []
    const one = which === undefined ? undefined : texts.get(nameOf(which), now)
    const found = which === undefined ? texts.all(now) : one === undefined ? [] : [one]
    return found.map((text) => ({
      ...headOf(text),
      part: text.part,
      ...(text.part.end === undefined ? {} : { age: Math.max(0, now - text.endedAt) })
    }))
  }

  check (
    room: string,
    known: readonly KnownHere[],
    settings: RoomSettings
  ): KeptText[] {
    const now = this.#options.now()
    const other: KeptText[] = []
    for (const which of known) {
      const text = this.#rooms.get(room)?.get(nameOf(which), now)
      if (text !== undefined && text.part.end === undefined && text.leaseUntil <= now) {
        this.#lose(room, text, settings, now)
      }
      const [kept] = this.read(room, settings, which)
      if (kept !== undefined && !isKnown(kept, which)) other.push(kept)
    }
    return other
  }

  missing (room: string, texts: readonly Which[], settings: RoomSettings): Which[] {
    return texts.filter((which) => this.read(room, settings, which).length === 0)
  }
}

function isKnown ({ part: { version, begun, to } }: KeptText, known: KnownHere): boolean {
  return version === known.version && begun === known.begun && to === known.to
}

function headOf ({ type, key, timestamp }: Pick<KeptText, 'type' | 'key' | 'timestamp'>): {
  type: string
  key: string
  timestamp: number
} {
  return { type, key, timestamp }
}
