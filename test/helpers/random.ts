/** Draws that are the same for the same seed (mulberry32). */
export class Random {
  #state: number

  constructor (seed: number) { this.#state = seed | 0 }

  /** 0 or more, below 1 */
  next (): number {
    this.#state = (this.#state + 0x6D2B79F5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** 0 or more, below `end` */
  int (end: number): number { return Math.floor(this.next() * end) }

  chance (part: number): boolean { return this.next() < part }

  pick<T> (list: readonly T[]): T { return list[this.int(list.length)]! }

  bytes (length: number): Buffer {
    const bytes = Buffer.alloc(length)
    for (let index = 0; index < length; index++) bytes[index] = this.int(256)
    return bytes
  }
}

/** The same as a function. */
export function randomBy (seed: number): () => number {
  const random = new Random(seed)
  return () => random.next()
}
