import { Compressor } from '../../lib/connection/compressor.js'
import { Flusher, type Flushable } from '../../lib/connection/flusher.js'
import type { Link, LinkEvents, Transport } from '../../lib/connection/link.js'
import type { OutboxCounters } from '../../lib/connection/outbox.js'
import { encodeEvent, encodeFrame, type EventHead, type Packet } from '../../lib/protocol/packet.js'

export function newCounters (): OutboxCounters & { messagesIn: number, bytesIn: number } {
  return {
    meant: 0,
    queued: 0,
    waiting: 0,
    waitingBytes: 0,
    delivered: 0,
    resumed: 0,
    conflated: 0,
    dropped: 0,
    gone: 0,
    framesOut: 0,
    bytesOut: 0,
    writes: 0,
    messagesIn: 0,
    bytesIn: 0
  }
}

/** Windows that end when the test says so. */
export class HandFlusher extends Flusher {
  #windowed: Flushable[] = []
  override later (outbox: Flushable): void { this.#windowed.push(outbox) }
  endWindows (): void {
    const windowed = this.#windowed
    this.#windowed = []
    for (const outbox of windowed) this.soon(outbox)
  }
}

/** Large frames that are compressed when the test says so, and stay as they are, so that they can be read. */
export class HandCompressor extends Compressor {
  readonly #done = new WeakSet<Packet>()
  #waiting: Array<() => void> = []
  constructor () { super(0) }
  override get (packet: Packet): Uint8Array | Promise<void> {
    if (packet.payload.length < 16_384 || this.#done.has(packet)) return packet.bytes
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        this.#done.add(packet)
        resolve()
      })
    })
  }

  override ready (packet: Packet): Uint8Array { return packet.bytes }
  async finish (): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    for (const done of waiting) done()
    await turn()
  }
}

/** A link that keeps what it is given; `isFull` makes it lag from the next write on. */
export class FakeLink implements Link {
  readonly writes: string[] = []
  readonly closes: Array<[code: number, reason: string]> = []
  isFull = false
  /** Bytes that the kernel has accepted. */
  taken = 0
  isDestroyed = false
  events: LinkEvents | undefined
  readonly transport: Transport
  readonly compressor: Compressor | undefined
  constructor (transport: Transport = 'websocket', compressor?: Compressor) {
    this.transport = transport
    this.compressor = compressor
  }

  attach (events: LinkEvents): void { this.events = events }
  write (bytes: Uint8Array): boolean {
    this.writes.push(textOf(bytes))
    return !this.isFull
  }

  beat (payload?: string): Uint8Array { return Buffer.from(`beat:${payload ?? ''}`) }
  close (code: number, reason: string): void { this.closes.push([code, reason]) }
  destroy (): void { this.isDestroyed = true }
  /** data of the events written, and types of other frames, in order */
  get seen (): unknown[] {
    return this.writes.flatMap((write) => [...write.matchAll(/"data":(\d+)|"type":"(pong)"|(beat:\w*)/g)]
      .map(([, data, type, beat]) => data === undefined ? type ?? beat : Number(data)))
  }
}

/** Keeps what is written to it as it is, so that buffers can be compared. */
export class KeepingLink extends FakeLink {
  readonly #written: Uint8Array[]
  constructor (written: Uint8Array[]) {
    super()
    this.#written = written
  }

  override write (bytes: Uint8Array): boolean {
    this.#written.push(bytes)
    return true
  }
}

/** WebSocket framing taken off, frames one behind the other. */
function textOf (bytes: Uint8Array): string {
  if (bytes[0] !== 0x81) return Buffer.from(bytes).toString()
  let text = ''
  for (let at = 0; at < bytes.length;) {
    const short = bytes[at + 1]!
    const head = short < 126 ? 2 : short === 126 ? 4 : 10
    const size = short < 126
      ? short
      : short === 126 ? Buffer.from(bytes).readUInt16BE(at + 2) : Buffer.from(bytes).readUInt32BE(at + 6)
    text += Buffer.from(bytes).toString('utf8', at + head, at + head + size)
    at += head + size
  }
  return text
}

export function event (data: number, head: Partial<EventHead> = {}, padding = 0): Packet {
  return encodeEvent(
    { type: 'e', room: 'r', delivery: 'reliable', timestamp: 0, ...head },
    `${data}${' '.repeat(padding)}`
  )
}

export const pong: Packet = encodeFrame({ type: 'pong' })

/** The end of this turn of the event loop, flushes included. */
export async function turn (): Promise<void> {
  await new Promise((resolve) => { setImmediate(resolve) })
}
