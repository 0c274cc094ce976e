import { constants, deflateRaw, deflateRawSync } from 'node:zlib'
import { promisify } from 'node:util'
import type { Packet } from '../protocol/packet.js'
import { frameCompressed } from '../protocol/websocket-frame.js'

/** Payloads from this size on are compressed in zlib's threads. Below it the round trip costs more than the work. */
const LARGE = 16_384
const OPTIONS = { windowBits: 15, finishFlush: constants.Z_SYNC_FLUSH }
const TAIL = 4

const deflate = promisify(deflateRaw) as (data: Uint8Array, options: typeof OPTIONS) => Promise<Buffer>

/** Each flush ends with an empty block of four bytes, which both sides agree to leave out (RFC 7692 7.2.1). */
function frame (deflated: Buffer): Buffer { return frameCompressed(deflated, deflated.length - TAIL) }

function deflatedNow (packet: Packet): Uint8Array {
  try {
    return frame(deflateRawSync(packet.payload, OPTIONS))
  } catch {
    return packet.bytes
  }
}

/**
 * Compresses each packet once for all members that negotiated permessage-deflate. All of them negotiated
 * `server_no_context_takeover` and the full window, so one compressed frame is right for each.
 */
export class Compressor {
  readonly #threshold: number
  readonly #frames = new WeakMap<Packet, Uint8Array>()
  readonly #pending = new WeakMap<Packet, Promise<void>>()

  /** @param threshold bytes of payload from which compression is worth it */
  constructor (threshold: number) {
    this.#threshold = threshold
  }

  /**
   * A frame that cannot be compressed, because zlib gets no memory, stays plain for all members: that is valid too.
   *
   * @returns the frame, or a promise that resolves once the frame is known, and never rejects
   */
  get (packet: Packet): Uint8Array | Promise<void> {
    const { payload } = packet
    if (payload.length < this.#threshold) return packet.bytes
    const known = this.#frames.get(packet) ?? this.#pending.get(packet)
    if (known !== undefined) return known
    if (payload.length < LARGE) {
      const made = deflatedNow(packet)
      this.#frames.set(packet, made)
      return made
    }
    const pending = this.#deflate(packet)
    this.#pending.set(packet, pending)
    return pending
  }

  async #deflate (packet: Packet): Promise<void> {
    let made: Uint8Array
    try {
      made = frame(await deflate(packet.payload, OPTIONS))
    } catch {
      made = packet.bytes
    }
    this.#frames.set(packet, made)
    this.#pending.delete(packet)
  }

  /**
   * Returns a frame without waiting: the compressed one where it is known, otherwise the plain one, which is valid on
   * such a link too.
   */
  ready (packet: Packet): Uint8Array {
    if (packet.payload.length >= LARGE) return this.#frames.get(packet) ?? packet.bytes
    const made = this.get(packet)
    return made instanceof Promise ? packet.bytes : made
  }
}
