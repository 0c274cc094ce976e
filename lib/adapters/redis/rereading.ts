import { encodeKept } from '../../protocol/part-frames.js'
import { gather, inBatches } from '../../structures/slices.js'
import type { AdapterHost } from '../adapter.js'
import type { RedisLink } from './link.js'
import type { RedisPresence } from './presence.js'
import type { RedisTexts } from './texts.js'
import type { RedisValues, Valued } from './values.js'

/** What is kept of a room that is followed. */
export interface Reread extends Valued {
  /** How often all rooms had to be read again when all of this one was read last. */
  reread: number
}

export interface RedisRereadingOptions {
  readonly link: Pick<RedisLink, 'isUp'>
  readonly rooms: {
    values (): Iterable<Reread>
    has (room: string): boolean
  }
  readonly values: Pick<RedisValues, 'refresh'>
  readonly texts: Pick<RedisTexts, 'read'>
  readonly presence: Pick<RedisPresence, 'isHeld' | 'missed'>
  readonly host: () => Pick<AdapterHost, 'event' | 'presence'>
  /** Milliseconds after which a part that failed is tried again: at first, and at the latest. */
  readonly again: readonly [first: number, last: number]
}

/** Rooms that are read at a time. */
const BATCH = 100

/**
 * Reads again what has no position, because a loss of it cannot be seen from numbers. No member gets a known value or
 * change twice. A server that refuses to write can still be read: where lost values cannot be put back, members get
 * all else, and the room is tried again.
 */
export class RedisRereading {
  readonly #options: RedisRereadingOptions
  /** How often all rooms had to be read again. */
  #round = 0
  /** When rooms are read again of which a part failed, by `performance.now()`. */
  #due = Number.POSITIVE_INFINITY
  /** Milliseconds until then: more each time, because what cannot be put back may be very much. */
  #wait = 0

  constructor (options: RedisRereadingOptions) {
    this.#options = options
  }

  /** What a room begins with: it is read when it is entered. */
  get round (): number { return this.#round }

  /** Reads all rooms. What fails is tried again by `look`. */
  all (): void {
    this.#round++
    this.#wait = this.#options.again[0]
    void this.#read()
  }

  /** Runs every few seconds: reads what could not be read or put back, once it is due. */
  look (): void { if (this.#due <= performance.now()) void this.#read() }

  /** Never rejects. */
  async #read (): Promise<void> {
    const { rooms, again } = this.#options
    const round = this.#round
    let isWhole = true
    this.#due = Number.POSITIVE_INFINITY
    await inBatches(await gather(rooms.values(), ({ reread }) => reread < round), BATCH, async (followed) => {
      if (await this.#readRoom(followed)) followed.reread = Math.max(followed.reread, round)
      else isWhole = false
    })
    if (isWhole) return
    this.#due = performance.now() + this.#wait
    this.#wait = Math.min(2 * this.#wait, again[1])
  }

  /** Returns whether all of it was read and put back. */
  async #readRoom (followed: Reread): Promise<boolean> {
    const { link, values, presence } = this.#options
    const { room, settings } = followed
    // All rooms are read when the link is back.
    if (!link.isUp) return false
    const parts: Array<Promise<void>> = []
    if (settings.latest) parts.push(values.refresh(followed))
    if (settings.append !== undefined) parts.push(this.#readTexts(followed))
    if (presence.isHeld(room)) parts.push(this.#readPresence(followed))
    return (await Promise.allSettled(parts)).every(({ status }) => status === 'fulfilled')
  }

  async #readTexts ({ room, settings }: Reread): Promise<void> {
    const { rooms, texts, host } = this.#options
    for (const text of await texts.read(room, settings)) {
      if (rooms.has(room)) void host().event(room, encodeKept(room, text))
    }
  }

  async #readPresence ({ room }: Reread): Promise<void> {
    const { rooms, presence, host } = this.#options
    for (const change of await presence.missed(room)) if (rooms.has(room)) host().presence(room, change)
  }
}
