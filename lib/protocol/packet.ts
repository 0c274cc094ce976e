import type { Delivery } from '../contract/types.js'
import { encodePlaces } from './cursor.js'
import type { Except } from './except.js'
import type { Part } from './part.js'
import type { Position } from './position.js'
import type { RemovedFrame, ServerFrame } from './server-frames.js'
import { detached, frameText, payloadOf, type Allocate } from './websocket-frame.js'

/**
 * What the server has to know of an event besides its bytes: where it stands, how it may be thinned out, whom it
 * excludes.
 */
export interface EventHead {
  /** The name of the event. */
  readonly type: string
  /** The room's name. */
  readonly room: string
  /** What is promised for the event. */
  readonly delivery: Delivery
  /**
   * Unix time in milliseconds on the publishing node, for readers only. No decision depends on it, since that clock may
   * be wrong.
   */
  readonly timestamp: number
  /**
   * Milliseconds for which the event had been kept when it was read, by the clock of its keeper; absent for a new
   * event.
   */
  readonly age?: number | undefined
  /** Its place in the room's stream, where it has one. */
  readonly position?: Position | undefined
  /** Value of the contract's `key` property, for `latest` and `append` events. */
  readonly key?: string | undefined
  /** Order among the `latest` values of a room. */
  readonly version?: number | undefined
  /** The version that it had before a broker lost it, of a `latest` value that was put back. */
  readonly former?: number | undefined
  /** The user with whose presence in the room the value ends; absent where it does not end so. */
  readonly user?: string | undefined
  /** It takes the value of its key away: `type` and `key` say which, and members are sent the frame `removed`. */
  readonly isRemoval?: boolean | undefined
  /** Whom the event leaves out. */
  readonly except?: Except | undefined
  /** Id that members acknowledge, for an acknowledged broadcast. */
  readonly ack?: string | undefined
  /** Whether the ack has to carry an answer. */
  readonly isQuestion?: boolean | undefined
  /** The stretch of its text that an `append` event carries. */
  readonly part?: Part | undefined
  /** W3C trace context of what has published it, where that is traced. Clients are not sent it. */
  readonly traceparent?: string | undefined
}

const SSE_TAIL = Buffer.from('\n\n')

/**
 * One frame, which is serialised and framed once for any number of receivers. Only the WebSocket frame always exists:
 * the JSON is a view of its payload, and the SSE form is made when the first stream asks for it.
 */
export class Packet {
  #bytes: Buffer
  /** Set on declared events, absent on frames of the protocol. */
  readonly event: EventHead | undefined
  /** Position to which this frame moves the SSE id and the poll cursor of its room. */
  readonly position: Position | undefined
  /** The room that it is about. */
  readonly room: string | undefined
  /** Whether the frame is sent again after a break; the ledger counts such frames apart. */
  readonly isReplay: boolean
  #sse: Buffer | undefined
  #unnamed: Buffer | undefined
  #mark: string | undefined
  #marked: Buffer | undefined
  #replay: Packet | undefined

  constructor (bytes: Buffer, event?: EventHead, room?: string, position?: Position, isReplay = false) {
    this.#bytes = bytes
    this.event = event
    this.room = room
    this.position = position
    this.isReplay = isReplay
  }

  /** The WebSocket frame. */
  get bytes (): Buffer { return this.#bytes }

  /** Gives the frame memory of its own, because it will be kept beyond its turn. */
  detach (): void { this.#bytes = detached(this.#bytes) }

  /** The JSON text as UTF-8. */
  get payload (): Buffer { return payloadOf(this.bytes) }

  /**
   * The event in the form of Server-Sent Events, without the `id:` line, which differs for each connection. JSON has no
   * raw line breaks, so one `data:` line is enough; the space that may follow a colon is left out.
   */
  get sse (): Buffer {
    const { event } = this
    const name = event === undefined || event.isRemoval === true ? 'realtime' : event.type
    if (this.#sse === undefined) {
      const { payload } = this
      const head = `event:${name}\ndata:`
      const size = head.length + payload.length + SSE_TAIL.length
      this.#sse = Buffer.allocUnsafeSlow(size)
      this.#sse.write(head, 'latin1')
      this.#sse.set(payload, head.length)
      this.#sse.set(SSE_TAIL, size - SSE_TAIL.length)
    }
    return this.#sse
  }

  /** The same without the line with the event's name, for readers that find it in the JSON. */
  get unnamedSse (): Buffer {
    const named = this.sse
    return (this.#unnamed ??= named.subarray(named.indexOf('\n') + 1))
  }

  /**
   * The end of the `id:` line of streams that stand at the same places, which is made once for those that come one
   * after the other.
   *
   * @param places as `placesOf` writes them
   */
  idAt (places: string): Buffer {
    if (this.#mark !== places) {
      this.#mark = places
      this.#marked = Buffer.from(`${encodePlaces(places)}\n`, 'latin1')
    }
    return this.#marked!
  }

  /** Returns the same event, marked as kept for `age` milliseconds. */
  aged (age: number): Packet {
    return new Packet(this.bytes, { ...this.event!, age }, this.room, this.position, this.isReplay)
  }

  /** The same bytes, marked as replayed. */
  get replay (): Packet {
    this.#replay ??= new Packet(this.bytes, this.event, this.room, this.position, true)
    return this.#replay
  }
}

/** Makes a frame of the protocol. Keys whose value is `undefined` are omitted. */
export function encodeFrame (frame: ServerFrame, position?: Position, allocate?: Allocate): Packet {
  return new Packet(frameText(JSON.stringify(frame), allocate), undefined, 'room' in frame ? frame.room : undefined, position)
}

/**
 * Frames an event for all its receivers.
 *
 * @param data the event's data as JSON text, which the publisher serialises once; a removal has none
 */
export function encodeEvent (head: EventHead, data: string, allocate?: Allocate): Packet {
  if (head.isRemoval === true) return encodeRemoval(head)
  const { type, room, position, ack, timestamp, isQuestion } = head
  const offset = position === undefined ? '' : `,"offset":${position.offset}`
  const id = ack === undefined ? '' : `,"ack":${JSON.stringify(ack)}${isQuestion === true ? ',"reply":true' : ''}`
  const text =
    `{"type":${JSON.stringify(type)},"room":${JSON.stringify(room)}${offset}${id},"data":${data},"timestamp":${timestamp}}`
  return new Packet(frameText(text, allocate), head, room, position)
}

/** Frames an event once more, with its trace context for clients. */
export function withTraceparent (packet: Packet): Packet {
  const { event, room, position, payload, isReplay } = packet
  const text = payload.toString()
  const framed = frameText(`${text.slice(0, -1)},"traceparent":${JSON.stringify(event!.traceparent)}}`)
  return new Packet(framed, event, room, position, isReplay)
}

/** Frames a removal, which each node makes from its head. */
function encodeRemoval (head: EventHead): Packet {
  const { type, room, key = '' } = head
  const frame: RemovedFrame = { type: 'removed', room, data: { event: type, key } }
  return new Packet(frameText(JSON.stringify(frame)), head, room)
}
