import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { LINK_BUFFER } from '../connection/link.js'
import { takenBy } from './taken.js'

/** Name of a stream for the encoding of a chunk that is no string; @types/node does not know it. */
const BYTES = 'buffer' as BufferEncoding

/** What bytes are written to: a socket, or a response whose socket is not its own. */
export interface Sink {
  readonly writable: boolean
  readonly writableLength: number
  readonly writableNeedDrain: boolean
  /** Bytes that were accepted from it, where it counts them itself. */
  readonly taken?: number
  write (bytes: Uint8Array): boolean
  on (event: 'drain', listener: () => void): unknown
  off (event: 'drain', listener: () => void): unknown
  destroy (error?: Error): unknown
}

/** A link that writes to a socket without the stream in front of it, where that is possible. */
export abstract class SocketLink<S extends Sink> {
  // The fields that each write needs come first, so that they share one cache line of the processor: with many
  // connections cache misses are what a write costs.
  readonly #socket: S
  /** Whether the socket is a plain TCP socket, without TLS and without a stream in its place. */
  readonly #isPlain: boolean
  /** Bytes of a write past the stream that the kernel has not accepted yet. */
  #inFlight = 0
  #isTaken = false
  /** Made at the first such write, so that idle connections have none. */
  #taken: ((error?: Error | null) => void) | undefined

  constructor (socket: S) {
    this.#socket = socket
    this.#isPlain = socket.constructor === Socket
  }

  /** Tells that the kernel has accepted all bytes. */
  protected abstract drained (): void

  protected get socket (): S { return this.#socket }

  protected get isSocketWritable (): boolean { return this.#socket.writable }

  /** Whether the kernel has accepted everything that was written. */
  get isIdle (): boolean { return this.#inFlight === 0 && this.#socket.writableLength === 0 }

  get taken (): number | undefined { return this.#socket.taken ?? takenBy(this.#socket) }

  /**
   * Writes to a plain socket with an empty stream in the way in which its stream would (`_write`), because the stream's
   * account of each write and its callback in the next tick would cost more than all the work of this library. The
   * order stays: the handle writes in the order of its calls, `end` waits for it, and while the kernel accepts no more,
   * later writes go through the stream. A TLS handle takes one write at a time, so it is left to its stream.
   *
   * @returns false when the link has enough
   */
  protected put (bytes: Uint8Array): boolean {
    const socket = this.#socket
    if (this.#isPlain && this.#inFlight === 0 && socket.writableLength === 0) {
      this.#isTaken = false
      // A plain socket is a stream, of which a response in its place has only a part.
      const stream = socket as unknown as Duplex
      stream._write(bytes, BYTES, this.#taken ??= this.#onTaken())
      if (!this.#isTaken) this.#inFlight = bytes.length
    } else socket.write(bytes)
    return this.#inFlight + (socket.writableLength ?? 0) < LINK_BUFFER
  }

  /** The callback runs during the write, or later when the kernel could not accept all bytes at once. */
  #onTaken (): (error?: Error | null) => void {
    return (error) => {
      this.#isTaken = true
      if (error != null) {
        this.#socket.destroy(error)
        return
      }
      if (this.#inFlight === 0) return
      this.#inFlight = 0
      // If the stream has more to write, it emits `drain` itself.
      if (!this.#socket.writableNeedDrain) this.drained()
    }
  }
}
