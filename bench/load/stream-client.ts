import { HttpClient } from './http-client.js'
import { readHead } from './http-head.js'
import type { ClientOptions } from './client.js'
import type { Totals } from './totals.js'

/** One client of Server-Sent Events. It is admitted when the first of them has arrived, whatever it is. */
export class StreamClient extends HttpClient {
  #opening: Buffer | undefined = Buffer.alloc(0)

  constructor (options: ClientOptions, totals: Totals) {
    super(options, totals)
    this.ask(options.dialect.path(options.rooms), ['Accept: text/event-stream'])
  }

  protected read (bytes: Buffer): void {
    if (this.#opening === undefined) {
      this.events(bytes)
      return
    }
    this.#opening = Buffer.concat([this.#opening, bytes])
    try {
      const head = readHead(this.#opening)
      if (head === undefined || !this.#opening.includes('\n\n', head.end)) return
    } catch (error) {
      this.fail((error as Error).message)
      return
    }
    this.events(this.#opening)
    this.#opening = undefined
    this.admitted()
  }
}
