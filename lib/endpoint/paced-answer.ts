import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { PacedResponse } from '../transports/paced-response.js'

/** The body of an answer over HTTP/2, written in pieces, by which one sees that its peer reads on. */
export class PacedAnswer extends Readable {
  readonly #body: Buffer
  #paced: PacedResponse | undefined

  constructor (body: Buffer) {
    super()
    this.#body = body
  }

  get size (): number { return this.#body.length }

  /** Bytes that the peer's window and the kernel have accepted. */
  get taken (): number { return this.#paced?.taken ?? 0 }

  /** Fastify writes a body by this call alone. */
  override pipe<T extends NodeJS.WritableStream> (destination: T): T {
    const paced = this.#paced = new PacedResponse(destination as unknown as ServerResponse)
    paced.write(this.#body)
    paced.end()
    return destination
  }

  /** For a reader that pipes nothing. */
  override _read (): void {
    this.push(this.#body)
    this.push(null)
  }
}
