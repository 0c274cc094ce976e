/** First byte of a text frame: FIN and the opcode (RFC 6455 5.2). */
const TEXT = 0x81
/** First byte of a compressed text frame: FIN, RSV1 and the opcode (RFC 7692 6). */
const COMPRESSED_TEXT = 0xc1

/** First bytes of control frames (RFC 6455 5.5). */
export const PING = 0x89
export const PONG = 0x8a

/**
 * Makes the head of an unmasked frame (RFC 6455 5.2), with room for its payload.
 *
 * @returns the frame, and where its payload begins
 */
function opened (first: number, size: number, allocate: Allocate): { bytes: Buffer, head: number } {
  const head = size < 126 ? 2 : size < 65_536 ? 4 : 10
  const bytes = allocate(head + size)
  bytes[0] = first
  if (head === 2) bytes[1] = size
  else if (head === 4) {
    bytes[1] = 126
    bytes.writeUInt16BE(size, 2)
  } else {
    bytes[1] = 127
    bytes.writeUInt32BE(0, 2)
    bytes.writeUInt32BE(size, 6)
  }
  return { bytes, head }
}

/** Makes memory for a frame. */
export type Allocate = (size: number) => Buffer

/**
 * Takes the memory of a frame from Node's pool, which spares the garbage collector an object outside the heap for each
 * frame. It is for frames that are written in their turn: whoever keeps one for longer detaches it.
 */
export const pooled: Allocate = (size) => Buffer.allocUnsafe(size)

/** The same bytes in memory of their own, so that they do not pin a slab of the pool with the bytes of others. */
export function detached (bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength === bytes.length) return bytes
  const own = Buffer.allocUnsafeSlow(bytes.length)
  own.set(bytes)
  return own
}

/**
 * Frames one text message for a client in one contiguous buffer.
 *
 * @param allocate by default does not take from the shared pool, where a slow reader would pin a slab with the bytes
 *   of other events
 */
export function frameText (text: string, allocate: Allocate = Buffer.allocUnsafeSlow): Buffer {
  const size = Buffer.byteLength(text)
  const { bytes, head } = opened(TEXT, size, allocate)
  if (size === text.length) bytes.write(text, head, 'latin1')
  else bytes.write(text, head, 'utf8')
  return bytes
}

/** Frames the first `size` bytes of a deflated text message. */
export function frameCompressed (deflated: Buffer, size: number): Buffer {
  const { bytes, head } = opened(COMPRESSED_TEXT, size, Buffer.allocUnsafeSlow)
  deflated.copy(bytes, head, 0, size)
  return bytes
}

/** Frames a control message of the server, at most 125 bytes. */
export function frameControl (first: number, payload: Uint8Array): Buffer {
  const { bytes, head } = opened(first, payload.length, Buffer.allocUnsafeSlow)
  bytes.set(payload, head)
  return bytes
}

/** Returns the payload of a frame that was made here. */
export function payloadOf (bytes: Buffer): Buffer {
  const short = bytes[1]!
  return bytes.subarray(short < 126 ? 2 : short === 126 ? 4 : 10)
}
