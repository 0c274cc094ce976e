import type { Delivery } from '../contract/types.js'
import type { Position } from './position.js'

/** Who is left out of an event: both must match where both are named. */
export interface Except { readonly user?: string, readonly connection: string }

/** What makes an event more than its bytes: where it stands, how it may be thinned out, whom it leaves out. */
export interface EventHead {
  readonly type: string
  readonly room: string
  readonly delivery: Delivery
  /**
   * Unix time in milliseconds, of the publishing node: for readers. Nothing is decided by it, since that clock may be
   * wrong
   */
  readonly timestamp: number
  /** milliseconds for which it had been kept, by the clock of who kept it, when it was read; absent: it is new */
  readonly age?: number | undefined
  readonly position?: Position | undefined
  /** value of the contract's `key` property, for `latest` events */
  readonly key?: string | undefined
  /** order among the `latest` values of a room */
  readonly version?: number | undefined
  readonly except?: Except | undefined
  /** id that members answer, for an acknowledged broadcast */
  readonly ack?: string | undefined
}

const TEXT = 0x81
const SSE_TAIL = Buffer.from('\n\n')

/**
 * Frames one text message for a client (RFC 6455 5.2): FIN, unmasked, one contiguous buffer.
 *
 * @param allocate not from the shared pool by default: a slow reader would pin a slab of other events' bytes
 */
export function frameText (text: string, allocate: (size: number) => Buffer = Buffer.allocUnsafeSlow): Buffer {
  const size = Buffer.byteLength(text)
  const head = headSize(size)
  const bytes = allocate(head + size)
  bytes[0] = TEXT
  if (head === 2) bytes[1] = size
  else if (head === 4) {
    bytes[1] = 126
    bytes.writeUInt16BE(size, 2)
  } else {
    bytes[1] = 127
    bytes.writeUInt32BE(0, 2)
    bytes.writeUInt32BE(size, 6)
  }
  if (size === text.length) bytes.write(text, head, 'latin1')
  else bytes.write(text, head, 'utf8')
  return bytes
}

function headSize (size: number): number {
  return size < 126 ? 2 : size < 65_536 ? 4 : 10
}

/**
 * One frame, serialised once and framed once whatever the number of its receivers. The WebSocket frame is the only copy
 * that is always there; the JSON is a view of its payload, the SSE form is made when the first stream asks.
 */
export class Packet {
  readonly bytes: Buffer
  /** set on declared events, absent on frames of the protocol */
  readonly event: EventHead | undefined
  /** moves the SSE id and the poll cursor of this room to here */
  readonly position: Position | undefined
  readonly room: string | undefined
  /** written again after a break: counted apart in the ledger */
  readonly isReplay: boolean
  #sse: Buffer | undefined
  #replay: Packet | undefined

  constructor (bytes: Buffer, event?: EventHead, room?: string, position?: Position, isReplay = false) {
    this.bytes = bytes
    this.event = event
    this.room = room
    this.position = position
    this.isReplay = isReplay
  }

  /** the JSON text as UTF-8 */
  get payload (): Buffer {
    const short = this.bytes[1]!
    return this.bytes.subarray(short < 126 ? 2 : short === 126 ? 4 : 10)
  }

  /**
   * the event as Server-Sent Events want it, without the `id:` line that is each connection's own; JSON has no raw line
   * breaks
   */
  get sse (): Buffer {
    this.#sse ??= Buffer.concat([
      Buffer.from(`event: ${this.event?.type ?? 'realtime'}\ndata: `),
      this.payload,
      SSE_TAIL
    ])
    return this.#sse
  }

  /** The same event, as one that has been kept for so many milliseconds. */
  aged (age: number): Packet {
    return new Packet(this.bytes, { ...this.event!, age }, this.room, this.position, this.isReplay)
  }

  /** the same bytes, marked as replayed */
  get replay (): Packet {
    this.#replay ??= new Packet(this.bytes, this.event, this.room, this.position, true)
    return this.#replay
  }
}

/** A frame of the protocol. Keys whose value is `undefined` are omitted. */
export function encodeFrame (
  frame: { type: string, room?: string | undefined, id?: string | undefined, data?: unknown },
  position?: Position
): Packet {
  return new Packet(frameText(JSON.stringify(frame)), undefined, frame.room, position)
}

/** @param data the event's data as JSON text, serialised by the publisher once */
export function encodeEvent (head: EventHead, data: string): Packet {
  const { type, room, position, ack, timestamp } = head
  const offset = position === undefined ? '' : `,"offset":${position.offset}`
  const id = ack === undefined ? '' : `,"ack":${JSON.stringify(ack)}`
  const text =
    `{"type":${JSON.stringify(type)},"room":${JSON.stringify(room)}${offset}${id},"data":${data},"timestamp":${timestamp}}`
  return new Packet(frameText(text), head, room, position)
}
