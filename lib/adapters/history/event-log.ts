import type { Delivery } from '../../contract/types.js'
import { Packet, type EventHead } from '../../protocol/packet.js'

/** What the index says of an event besides its numbers; few kinds occur in one room. */
interface Kind { readonly type: string, readonly delivery: Delivery }

/**
 * The fields of a head that few events have, as they are kept. Those that are named here are in the index, or end with
 * the publication: its trace, and that it asks for an answer.
 */
type Rare = Omit<
  EventHead,
  // Values that were put back are in no history.
  'type' | 'room' | 'delivery' | 'timestamp' | 'age' | 'position' | 'traceparent' | 'isQuestion' | 'former'
>
/** Whoever gives a head one more field has to say here what becomes of it. */
type AllOfThem = { readonly [K in keyof Required<Rare>]: Rare[K] }

/** Bytes of one record of the index: four numbers of four bytes and one of two. */
const RECORD = 18
/** Bytes that the objects of a chunk take beside its memory, as measured. */
const OBJECTS = 320
/** Characters of one who is left out, besides the name. */
const ONE = 50
/** The same for what is kept of an event's rare fields, without its texts. */
const RARE = 128
/** A new chunk has room for one part in so many of what is kept, so that a chunk half gone wastes little. */
const SHARE = 8
/** Bytes of the largest chunk that holds more than one event. */
const MAX_CHUNK = 32_768
/** Kinds beyond which the next chunk begins a list of its own, so that kinds which are gone do not stay. */
const MAX_KINDS = 64

/** Numbers of an event that the index keeps as differences from the first event of its chunk. */
interface Numbers { readonly offset: number, readonly acceptedAt: number, readonly timestamp: number }

/**
 * Events in one piece of memory: the frames from its start, the records of the index from its end. So an event costs
 * the garbage collector nothing, however long it is kept.
 */
class Chunk {
  readonly #memory: Buffer
  /** Numbers of the first event, from which those of the others are counted. */
  readonly #offset: number
  readonly #acceptedAt: number
  readonly #timestamp: number
  readonly #kinds: Kind[]
  /** By index; most chunks have none. */
  #rare: Map<number, Rare> | undefined
  #rareBytes = 0
  #used = 0
  /** Index behind the newest event. */
  end = 0
  /** Index of the oldest event that is not gone. */
  first = 0

  /** @param before the chunk before this one, with which it shares the list of kinds */
  constructor (capacity: number, { offset, acceptedAt, timestamp }: Numbers, before: Chunk | undefined) {
    this.#memory = Buffer.allocUnsafeSlow(capacity)
    this.#offset = offset
    this.#acceptedAt = acceptedAt
    this.#timestamp = timestamp
    this.#kinds = before === undefined || before.#kinds.length > MAX_KINDS ? [] : before.#kinds
  }

  get bytes (): number { return this.#memory.length + OBJECTS + this.#rareBytes }

  fits (size: number, { offset, acceptedAt, timestamp }: Numbers): boolean {
    return this.#used + size + RECORD * (this.end + 1) <= this.#memory.length &&
      isDifference(offset - this.#offset) && isDifference(Math.floor(acceptedAt - this.#acceptedAt)) &&
      isDifference(timestamp - this.#timestamp)
  }

  append (frame: Buffer, head: EventHead, { offset, acceptedAt, timestamp }: Numbers): void {
    const memory = this.#memory
    const rare = rareOf(head)
    if (rare !== undefined) {
      this.#rare ??= new Map()
      this.#rare.set(this.end, rare)
      this.#rareBytes += bytesOf(rare)
    }
    memory.set(frame, this.#used)
    this.#used += frame.length
    const record = memory.length - RECORD * ++this.end
    memory.writeUInt32LE(this.#used, record)
    memory.writeInt32LE(offset - this.#offset, record + 4)
    memory.writeInt32LE(Math.floor(acceptedAt - this.#acceptedAt), record + 8)
    memory.writeInt32LE(timestamp - this.#timestamp, record + 12)
    memory.writeUInt16LE(this.#kindOf(head), record + 16)
  }

  offset (index: number): number { return this.#offset + this.#memory.readInt32LE(this.#record(index) + 4) }

  acceptedAt (index: number): number {
    return this.#acceptedAt + this.#memory.readInt32LE(this.#record(index) + 8)
  }

  /** Bytes of the frame. */
  size (index: number): number { return this.#memory.readUInt32LE(this.#record(index)) - this.#start(index) }

  /** Makes the packet anew; its bytes are a view of this memory. */
  packet (index: number, room: string, epoch: string): Packet {
    const memory = this.#memory
    const record = this.#record(index)
    const { type, delivery } = this.#kinds[memory.readUInt16LE(record + 16)]!
    const position = { epoch, offset: this.offset(index) }
    const timestamp = this.#timestamp + memory.readInt32LE(record + 12)
    const rare = this.#rare?.get(index)
    const head: EventHead = rare === undefined
      ? { type, room, delivery, timestamp, position }
      : { type, room, delivery, timestamp, position, ...rare }
    return new Packet(memory.subarray(this.#start(index), memory.readUInt32LE(record)), head, room, position)
  }

  #record (index: number): number { return this.#memory.length - RECORD * (index + 1) }

  #start (index: number): number { return index === 0 ? 0 : this.#memory.readUInt32LE(this.#record(index - 1)) }

  #kindOf ({ type, delivery }: EventHead): number {
    const kinds = this.#kinds
    for (let index = 0; index < kinds.length; index++) {
      const kind = kinds[index]!
      if (kind.type === type && kind.delivery === delivery) return index
    }
    return kinds.push({ type, delivery }) - 1
  }
}

function isDifference (value: number): boolean { return value === (value | 0) }

/** @returns the fields that most events lack; `undefined` where the event lacks them all */
function rareOf ({ key, version, user, isRemoval, except, ack, part }: EventHead): Rare | undefined {
  if ((key ?? version ?? user ?? isRemoval ?? ack ?? part) !== undefined) {
    return { key, version, user, isRemoval, except, ack, part } satisfies AllOfThem
  }
  return except === undefined ? undefined : { except }
}

function bytesOf ({ key = '', user = '', except }: Rare): number {
  let length = key.length + user.length + (except?.connection?.length ?? 0) + (except?.user?.length ?? 0)
  for (const { connection, user: left, room } of except?.others ?? []) {
    length += (connection ?? left ?? room)!.length + ONE
  }
  return RARE + length * 2
}

/** A part of the log. */
export interface Stretch {
  readonly events: Packet[]
  /** Whether the bytes that were asked for ended it. */
  readonly isPart: boolean
}

/**
 * The retained events of one room in the order of their offsets, as bytes. What is read is made anew. The clock is an
 * argument.
 */
export class EventLog {
  readonly #chunks: Chunk[] = []
  #length = 0
  #bytes = 0
  #room = ''

  get length (): number { return this.#length }
  /** Bytes of memory, those of its objects and of what is not yet used included. */
  get bytes (): number { return this.#bytes }
  /** Time at which the oldest event was accepted; `undefined` in an empty log. */
  get oldest (): number | undefined {
    const chunk = this.#chunks[0]
    return chunk?.acceptedAt(chunk.first)
  }

  /**
   * @param packet an event whose offset is above those before it
   * @param acceptedAt time by the clock of the caller, in milliseconds; kept rounded down
   */
  append (packet: Packet, acceptedAt: number): void {
    const head = packet.event!
    const numbers: Numbers = { offset: packet.position!.offset, acceptedAt, timestamp: head.timestamp }
    const size = packet.bytes.length
    let chunk = this.#chunks.at(-1)
    if (chunk === undefined || !chunk.fits(size, numbers)) {
      const capacity = Math.max(size + RECORD, Math.min(MAX_CHUNK, Math.floor(this.#bytes / SHARE)))
      chunk = new Chunk(capacity, numbers, chunk)
      this.#chunks.push(chunk)
      this.#bytes += chunk.bytes
      this.#room = head.room
    }
    const before = chunk.bytes
    chunk.append(packet.bytes, head, numbers)
    this.#bytes += chunk.bytes - before
    this.#length++
  }

  /** @returns the offset of the oldest event, which is gone now; `undefined` in an empty log */
  shift (): number | undefined {
    const chunk = this.#chunks[0]
    if (chunk === undefined) return undefined
    const offset = chunk.offset(chunk.first++)
    this.#length--
    if (chunk.first === chunk.end) {
      this.#chunks.shift()
      this.#bytes -= chunk.bytes
    }
    return offset
  }

  /** The first events behind an offset. */
  after (offset: number, limit: number, bytes: number | undefined, epoch: string): Stretch {
    const at = firstWhere(0, this.#chunks.length, (index) => {
      const chunk = this.#chunks[index]!
      return chunk.offset(chunk.end - 1) > offset
    })
    const chunk = this.#chunks[at]
    const index = chunk === undefined
      ? 0
      : firstWhere(chunk.first, chunk.end, (each) => chunk.offset(each) > offset)
    return this.#read(at, index, limit, bytes, epoch)
  }

  /** The newest `last` events, or the first `limit` of them. */
  newest (last: number, limit: number, bytes: number | undefined, epoch: string): Stretch {
    let at = this.#chunks.length
    let left = last
    while (at > 0 && left > 0) {
      const { first, end } = this.#chunks[--at]!
      if (end - first >= left) return this.#read(at, end - left, limit, bytes, epoch)
      left -= end - first
    }
    return this.#read(at, this.#chunks[at]?.first ?? 0, limit, bytes, epoch)
  }

  #read (from: number, index: number, limit: number, bytes = Number.POSITIVE_INFINITY, epoch: string): Stretch {
    const events: Packet[] = []
    let size = 0
    for (let at = from; at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at]!
      for (let each = at === from ? index : chunk.first; each < chunk.end; each++) {
        if (events.length >= limit) return { events, isPart: false }
        size += chunk.size(each)
        if (size > bytes && events.length > 0) return { events, isPart: true }
        events.push(chunk.packet(each, this.#room, epoch))
      }
    }
    return { events, isPart: false }
  }
}

/** The first number for which a condition holds that holds for all behind it; `end` where it holds for none. */
function firstWhere (start: number, end: number, holds: (index: number) => boolean): number {
  let [low, high] = [start, end]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}
