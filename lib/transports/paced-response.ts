import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { LINK_BUFFER, PROGRESS } from '../connection/link.js'
import type { Sink } from './socket-link.js'

/**
 * A response of HTTP/2, written in pieces of which each waits for the one before. Its stream has no socket of its own,
 * and a stream tells only that a whole write is over: in one write nobody could see that a slow reader reads on.
 */
export class PacedResponse extends EventEmitter implements Sink {
  /** Bytes that the peer's window and the kernel have accepted. */
  taken = 0
  readonly #response: ServerResponse
  readonly #waiting: Uint8Array[] = []
  /** Bytes that wait, those of the piece under way included. */
  writableLength = 0
  writableNeedDrain = false
  #isEnding = false

  constructor (response: ServerResponse) {
    super()
    this.#response = response
  }

  get writable (): boolean { return this.#response.writable }

  write (bytes: Uint8Array): boolean {
    const isFree = this.writableLength === 0
    this.#waiting.push(bytes)
    this.writableLength += bytes.length
    if (isFree) this.#next()
    this.writableNeedDrain ||= this.writableLength >= LINK_BUFFER
    return !this.writableNeedDrain
  }

  /** Ends the response behind everything written. */
  end (): void {
    this.#isEnding = true
    if (this.writableLength === 0) this.#response.end()
  }

  destroy (error?: Error): void { this.#response.destroy(error) }

  #next (): void {
    const piece = this.#piece()
    this.#response.write(piece, (error) => {
      // What a peer that is gone does not get waits for nothing.
      if (error != null) {
        this.#waiting.length = 0
        return
      }
      this.taken += piece.length
      this.writableLength -= piece.length
      if (this.writableLength > 0) this.#next()
      else if (this.#isEnding) this.#response.end()
      else if (this.writableNeedDrain) {
        this.writableNeedDrain = false
        this.emit('drain')
      }
    })
  }

  /** Takes what waits, up to a piece; small writes become one, since each piece takes a turn of the event loop. */
  #piece (): Uint8Array {
    const parts: Uint8Array[] = []
    let size = 0
    while (size < PROGRESS && this.#waiting.length > 0) {
      const first = this.#waiting[0]!
      const part = first.subarray(0, PROGRESS - size)
      parts.push(part)
      size += part.length
      if (part.length < first.length) this.#waiting[0] = first.subarray(part.length)
      else this.#waiting.shift()
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts, size)
  }
}
