/** Parts of the WebSocket framing (RFC 6455 5.2) that a load generator needs. */

export const TEXT = 0x1
export const CLOSE = 0x8
export const PING = 0x9
export const PONG = 0xa

export interface Frame {
  readonly opcode: number
  readonly isCompressed: boolean
  readonly payload: Buffer
  /** where the next frame begins */
  readonly end: number
}

/** Bytes of the header that starts at `at`, as far as two bytes tell. */
function headerSize (second: number): number {
  return second < 126 ? 2 : second === 126 ? 4 : 10
}

/** Payload bytes of the frame that starts at `at`. */
function payloadSize (bytes: Buffer, at: number): number {
  const short = bytes[at + 1]! & 0x7f
  return short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUInt32BE(at + 6)
}

/** A whole frame of a server (unmasked), or nothing while bytes are missing. */
export function readFrame (bytes: Buffer, at: number): Frame | undefined {
  if (bytes.length - at < 2) return undefined
  const start = at + headerSize(bytes[at + 1]!)
  if (bytes.length < start) return undefined
  const end = start + payloadSize(bytes, at)
  if (bytes.length < end) return undefined
  return {
    opcode: bytes[at]! & 0x0f,
    isCompressed: (bytes[at]! & 0x40) !== 0,
    payload: bytes.subarray(start, end),
    end
  }
}

/** A frame of a client. Masked, as it must be, by zeros, so that the payload can be written as it is. */
export function clientFrame (opcode: number, payload: string): Buffer {
  const size = Buffer.byteLength(payload)
  const head = size < 126 ? 6 : 8
  const bytes = Buffer.alloc(head + size)
  bytes[0] = 0x80 | opcode
  if (size < 126) bytes[1] = 0x80 | size
  else {
    bytes[1] = 0x80 | 126
    bytes.writeUInt16BE(size, 2)
  }
  bytes.write(payload, head)
  return bytes
}

/** Told of each frame, by its header alone. */
export interface FrameObserver {
  header (opcode: number, size: number): void
}

const MAX_HEADER = 10

/** Counts frames by their headers; payloads are skipped unread, wherever the chunks are cut. */
export class FrameCounter {
  #skip = 0
  /** a header that was cut */
  #part: Buffer | undefined
  #partSize = 0

  scan (bytes: Buffer, size: number, observer: FrameObserver): void {
    let at = 0
    if (this.#partSize > 0) at = this.#finishPart(bytes, size, observer)
    for (;;) {
      const left = size - at
      if (this.#skip > 0) {
        if (this.#skip >= left) {
          this.#skip -= left
          return
        }
        at += this.#skip
        this.#skip = 0
      }
      if (at === size) return
      if (size - at < 2 || size - at < headerSize(bytes[at + 1]!)) {
        this.#part ??= Buffer.alloc(MAX_HEADER)
        this.#partSize = bytes.copy(this.#part, 0, at, size)
        return
      }
      at += this.#header(bytes, at, observer)
    }
  }

  /** @returns bytes of the header */
  #header (bytes: Buffer, at: number, observer: FrameObserver): number {
    const payload = payloadSize(bytes, at)
    this.#skip = payload
    observer.header(bytes[at]! & 0x0f, payload)
    return headerSize(bytes[at + 1]!)
  }

  #finishPart (bytes: Buffer, size: number, observer: FrameObserver): number {
    const part = this.#part!
    let at = 0
    while (at < size && (this.#partSize < 2 || this.#partSize < headerSize(part[1]!))) {
      part[this.#partSize++] = bytes[at++]!
    }
    if (this.#partSize >= 2 && this.#partSize === headerSize(part[1]!)) {
      this.#partSize = 0
      this.#header(part, 0, observer)
    }
    return at
  }
}
