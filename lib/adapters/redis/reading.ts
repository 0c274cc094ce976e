import { keyOf } from '../../protocol/key.js'
import { checkPosition } from '../broker/decode.js'
import type { Position } from '../../protocol/position.js'
import { Pauses } from '../../structures/pauses.js'
import type { HistoryQuery, RoomSettings } from '../adapter.js'
import { decodePayload, identityOf, originOf, parsePositions } from '../broker/payload.js'
import { sharedBy, type Arrival, type Range } from '../broker/tail.js'
import type { Unread } from '../broker/unread.js'
import { newEpoch } from '../history/stream.js'
import type { Keys } from './keys.js'
import type { KnownStreams } from './known.js'
import type { RedisLink } from './link.js'
import { Unreachable } from './unreachable.js'
import { READ } from './scripts/stream.js'

export interface StreamReaderOptions {
  readonly link: RedisLink
  readonly keys: Keys
  readonly known: KnownStreams
  readonly unread: Unread
  /** Whether a room has members on this node. */
  readonly isFollowed: (room: string) => boolean
}

/** Part of a stream, as an answer may hold it. */
interface Part {
  /** The epoch in which the reader stands; empty where it stands nowhere. */
  readonly epoch: string
  /** The offset behind which it begins; absent for the newest events. */
  readonly offset: number | undefined
  readonly count: number
  readonly bytes: number | undefined
}

/**
 * Milliseconds of a new epoch within which every node says what it had seen of earlier epochs: until then none of those
 * is resumed.
 */
const SETTLED = 1_500

/** Reads the streams of rooms. */
export class StreamReader {
  readonly #options: StreamReaderOptions
  readonly #reading = new Map<string, Promise<Range>>()
  readonly #pauses = new Pauses()

  constructor (options: StreamReaderOptions) {
    this.#options = options
  }

  /** Ends the reads that wait for a new epoch to settle. */
  close (): void { this.#pauses.end() }

  /** Shares one read among all callers that wait for the same part of a room. */
  async read (room: string, settings: RoomSettings, { since, last, limit, bytes }: HistoryQuery): Promise<Range> {
    const count = since === undefined ? Math.min(last ?? limit, limit) : limit
    const name = keyOf(room, since?.epoch ?? '', String(since?.offset ?? ''), String(count), String(bytes ?? ''))
    const underWay = this.#reading.get(name)
    // A read that began earlier may miss events that were accepted meanwhile; those come by the subscription or with
    // the next page.
    if (underWay !== undefined) return await underWay
    const reading = this.#readPart(room, settings, { epoch: since?.epoch ?? '', offset: since?.offset, count, bytes })
    this.#reading.set(name, reading)
    try {
      return await reading
    } finally {
      if (this.#reading.get(name) === reading) this.#reading.delete(name)
    }
  }

  /** Reads what is missing behind a position. */
  async readHole (
    room: string,
    settings: RoomSettings,
    { since, limit, bytes }: { readonly since: Position, readonly limit: number, readonly bytes: number }
  ): Promise<Range> {
    return await this.#readPart(room, settings, { ...since, count: limit, bytes })
  }

  async #readPart (room: string, { history }: RoomSettings, part: Part): Promise<Range> {
    const { link, keys, known, unread, isFollowed } = this.#options
    const { offset, count, bytes = Number.MAX_SAFE_INTEGER } = part
    const ttl = history === false ? 0 : history.ttl
    for (let settled: string | undefined; ;) {
      const reply = await link.script(READ, [keys.meta(room), keys.stream(room)], [
        link.run, newEpoch(), offset ?? '', Math.max(count, 0), Math.ceil(ttl), isFollowed(room) ? '1' : '',
        known.seen(room), bytes
      ]) as string[]
      const [epoch = '', top, before = '', floor, at, age, isPart, ...entries] = reply
      known.learn(room, checkedPosition(unread, epoch, Number(top)), Number(at))
      const events: Arrival[] = []
      for (let index = 0; index + 1 < entries.length; index += 2) {
        const [place, time] = entries[index]!.split('-').map(Number) as [number, number]
        const payload = entries[index + 1]!
        // The epoch began at `at` and has this age, which gives the time of the broker.
        events.push(arrivalOf(room, epoch, place, payload, Math.max(0, Number(at) + Number(age) - time)))
      }
      const range = {
        epoch,
        top: Number(top),
        floor: Number(floor),
        before: parsePositions(before, () => { unread.note('position', before.length) }),
        events,
        isPart: isPart === '1'
      }
      const isFormer = part.epoch !== epoch && offset !== undefined &&
        sharedBy({ epoch: part.epoch, offset }, range)?.isWhole === true
      if (!isFormer || Number(age) >= SETTLED || epoch === settled) return range
      // The clock of the server may have been set back since the epoch began, which then has not begun yet by it.
      await this.#pause(Math.min(SETTLED, SETTLED - Number(age)))
      settled = epoch
    }
  }

  /** @throws Unreachable when the adapter is closed meanwhile */
  async #pause (wait: number): Promise<void> {
    await this.#pauses.wait(wait)
    if (this.#pauses.isOver) throw new Unreachable(false)
  }
}

/** @throws Refusal `unavailable` for a position that is none: the data of the room is not of this version */
export function checkedPosition (unread: Unread, epoch: string, offset: number): Position {
  try {
    return checkPosition(epoch, offset)
  } catch (error) {
    unread.failed(error, 'position', 0)
    throw new Unreachable(false)
  }
}

/** @param age milliseconds for which the broker has kept it; absent for a new one */
export function arrivalOf (room: string, epoch: string, offset: number, payload: string, age?: number): Arrival {
  return {
    epoch,
    offset,
    // The script numbers a room's events without holes.
    previous: offset - 1,
    origin: originOf(payload),
    identity: identityOf(payload),
    size: payload.length,
    packet: () => decodePayload(room, payload, { position: { epoch, offset }, age })
  }
}
