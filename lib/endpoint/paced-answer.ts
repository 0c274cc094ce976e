import { Readable } from 'node:stream'
import { PROGRESS } from '../connection/link.js'

/** The body of an answer over HTTP/2, written in pieces, by which one sees that its peer reads on. */
export class PacedAnswer extends Readable {
  readonly #body: Buffer
  #read = 0
  #taken = 0

  constructor (body: Buffer) {
    // Nothing is read ahead, so that the end comes behind the last piece that was taken.
    super({ highWaterMark: 0 })
    this.#body = body
  }

  get size (): number { return this.#body.length }

  /** Bytes that the peer's window and the kernel have accepted, or the stream of a hook that it is piped to. */
  get taken (): number { return this.#taken }

  /** Unlike that of Node it waits for each piece: several that wait together become one write, which tells nothing. */
  override pipe<T extends NodeJS.WritableStream> (destination: T, options?: { readonly end?: boolean }): T {
    this.on('data', (piece: Buffer) => {
      this.pause()
      destination.write(piece, (error) => {
        // What a peer that is gone does not get waits for nothing.
        if (error != null) return
        this.#taken += piece.length
        this.resume()
      })
    })
    if (options?.end !== false) this.once('end', () => { destination.end() })
    return destination
  }

  override _read (): void {
    if (this.#read === this.#body.length) {
      this.push(null)
      return
    }
    const piece = this.#body.subarray(this.#read, this.#read + PROGRESS)
    this.#read += piece.length
    this.push(piece)
  }
}
