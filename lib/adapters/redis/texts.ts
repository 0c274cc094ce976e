import { encodePart } from '../../protocol/part-frames.js'
import type { Packet } from '../../protocol/packet.js'
import { nameOf } from '../../retention/texts.js'
import { wellFormed } from '../../protocol/key.js'
import type { KeptText, KnownHere, RoomSettings, TextStore, TextWrite, TextWritten } from '../adapter.js'
import { Undecodable } from '../broker/decode.js'
import { decodeStretch, linesOf, readLines } from '../broker/text-payload.js'
import type { Unread } from '../broker/unread.js'
import type { Keys } from './keys.js'
import type { RedisLink } from './link.js'
import { many } from './many.js'
import { TEXT_CHECK, TEXT_CLEAR, TEXT_NAMES, TEXT_READ, TEXT_WRITE } from './scripts/texts.js'

type Which = Pick<KeptText, 'type' | 'key'>

/** Texts in one read: each may have `append.size`. */
const BATCH = 16

/** The texts of `append` events in Redis: each step of a writer is one script, which tells all nodes of it too. */
export class RedisTexts implements TextStore {
  readonly #link: RedisLink
  readonly #keys: Keys
  readonly #unread: Unread

  constructor (link: RedisLink, keys: Keys, unread: Unread) {
    this.#link = link
    this.#keys = keys
    this.#unread = unread
  }

  async write (room: string, step: TextWrite, { append }: RoomSettings): Promise<TextWritten> {
    const name = textName(step)
    const { head, end, before, inside } = linesOf(step)
    const { from, to, isList } = step.part
    // The step that takes the key has no text, so that the first item has nothing before it.
    const joint = isList && from > 0 ? ',' : ''
    const args = [
      name, step.writer, step.number, step.lease, Math.ceil(append!.ttl), head, end, before, joint, inside, from, to
    ]
    return await this.#link.script(TEXT_WRITE, this.#keys.text(room, name), args) as TextWritten
  }

  async read (room: string, { append }: RoomSettings, which?: Which): Promise<KeptText[]> {
    const names = which === undefined ? await this.#names(room, append!) : [textName(which)]
    const found = await this.#read(room, names)
    return found.sort((a, b) => a.part.version - b.part.version)
  }

  async #names (room: string, { ttl }: NonNullable<RoomSettings['append']>): Promise<string[]> {
    return await this.#link.script(TEXT_NAMES, this.#keys.texts(room), [Math.ceil(ttl)]) as string[]
  }

  /** Empties each text of a room, and ends it as lost. */
  async clear (room: string, { append }: RoomSettings): Promise<void> {
    const names = await this.#names(room, append!)
    const items = names.map((name) => ({ keys: this.#keys.text(room, name), args: [name] }))
    await many(this.#link, TEXT_CLEAR, [Math.ceil(append!.ttl)], items)
  }

  async #read (room: string, names: readonly string[]): Promise<KeptText[]> {
    const found: KeptText[] = []
    for (let index = 0; index < names.length; index += BATCH) {
      const items = names.slice(index, index + BATCH).map((name) => ({
        keys: this.#keys.text(room, name).slice(-2),
        args: []
      }))
      for (const [, reply] of await many(this.#link, TEXT_READ, [], items)) {
        for (const fields of reply as string[][]) found.push(...this.#decoded(fields))
      }
    }
    return found
  }

  #decoded ([version, begun, to, age, head, end, before, inside]: readonly string[]): KeptText[] {
    if (version === undefined) return []
    try {
      const at = { version: Number(version), begun: Number(begun), from: 0, to: Number(to) }
      const text = decodeStretch({ head: head!, end: end!, before: before!, inside: inside! }, at)
      return [age === '' ? text : { ...text, age: Number(age) }]
    } catch (error) {
      this.#unread.failed(error, 'text', inside?.length ?? 0)
      return []
    }
  }

  async check (
    room: string,
    known: readonly KnownHere[],
    { append }: RoomSettings
  ): Promise<KeptText[]> {
    const items = known.map((which) => {
      const name = textName(which)
      return { name, version: which.version, keys: this.#keys.text(room, name), args: [name, which.version] }
    })
    const changed: string[] = []
    for (const [some, reply] of await many(this.#link, TEXT_CHECK, [Math.ceil(append!.ttl)], items)) {
      for (const [index, version] of (reply as string[]).entries()) {
        if (version !== '' && Number(version) !== some[index]!.version) changed.push(some[index]!.name)
      }
    }
    return await this.#read(room, changed)
  }

  async missing (room: string, texts: readonly Which[]): Promise<Which[]> {
    const found = await Promise.all(texts.map(async (which) => {
      const kept = this.#keys.text(room, textName(which)).slice(-2)
      return await this.#link.call('EXISTS', ...kept) === kept.length
    }))
    return texts.filter((_text, index) => found[index] !== true)
  }

  /**
   * Reads a stretch that arrived on the channel of a room.
   *
   * @param first the line that says where it stands
   * @throws Undecodable
   */
  static decode (room: string, first: string, rest: string): Packet {
    const [, version, begun, from, to, ...more] = first.split(' ')
    if (more.length > 0) throw new Undecodable('a stretch of a text')
    const at = { version: Number(version), begun: Number(begun), from: Number(from), to: Number(to) }
    const { part, ...head } = decodeStretch(readLines(rest), at)
    return encodePart({ ...head, room }, part)
  }
}

function textName (which: Which): string { return wellFormed(nameOf(which)) }
