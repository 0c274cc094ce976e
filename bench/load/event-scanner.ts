import { KEY, TIMESTAMP } from '../shared/payload.js'

const SIZE = KEY.length + TIMESTAMP
const NEWLINE = 10
const NOTHING = Buffer.alloc(0)

/** Finds events in a stream of text, wherever its chunks are cut, by what each of them has once. */
export class EventScanner {
  #rest: Buffer = NOTHING

  /** @param found is given the key of an event with its timestamp, in a buffer that is not kept */
  scan (chunk: Buffer, found: (event: Buffer) => void): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      const key = bytes.indexOf(KEY, at, 'latin1')
      if (key === -1 || key + SIZE > bytes.length) break
      at = key + SIZE
      found(bytes.subarray(key, at))
    }
    // An event that has begun may go on in the next chunk; none has where a line has ended.
    const start = Math.max(at, bytes.length - SIZE + 1)
    this.#rest = start >= bytes.length || bytes.at(-1) === NEWLINE ? NOTHING : Buffer.from(bytes.subarray(start))
  }
}
