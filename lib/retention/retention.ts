import { Link, LinkedList } from '../structures/linked-list.js'

/** Something that is kept for a time and within a byte budget, and that loses its oldest part first. */
export abstract class Retained {
  abstract get bytes (): number
  /**
   * Time at which its oldest part expires, in milliseconds by the clock of the caller of `sweep`; `Infinity` when it
   * has none.
   */
  abstract get ends (): number
  /** Drops its oldest part. */
  abstract shift (): void
  /** Drops its oldest part, whose time is over. */
  shiftExpired (): void { this.shift() }
  /** Called when nothing of it is left. */
  emptied (): void {}

  /** Bytes that its `Retention` has counted for it. */
  counted = 0
  /** Its place among those of about the same size. */
  readonly bySize = new Link<Retained>(this)
  /** Its place among those that the wheel examines at about the same time. */
  readonly byEnd = new Link<Retained>(this)
}

/** Milliseconds of one slot of the timing wheel: nothing is examined more often. */
const SLOT = 500
/**
 * Number of slots. What expires later than the wheel reaches is examined after one turn of the wheel and scheduled
 * again.
 */
const SLOTS = 256

/**
 * Keeps many retained things under one byte budget. Above the budget, one of those that hold the most (within an
 * eighth) loses its oldest part; expired parts are found by a timing wheel. The cost of a step does not depend on how
 * many things there are. The clock is an argument, so this class has no timer.
 */
export class Retention {
  #budget: number
  readonly #sizes: Array<LinkedList<Retained>> = []
  #largest = 0
  readonly #slots = Array.from({ length: SLOTS }, () => new LinkedList<Retained>())
  /** The slot that is being swept. */
  #due = new LinkedList<Retained>()
  /** The last slot whose time has come. */
  #tick: number | undefined
  #bytes = 0
  /** Number of parts that were evicted before their time. */
  evicted = 0

  /** @param budget bytes of everything together */
  constructor (budget: number) {
    this.#budget = budget
  }

  get bytes (): number { return this.#bytes }

  /** Time of the last call, by which whoever loses a part knows whether it had expired. */
  now = 0

  /** Sets another budget, which holds from the next change on. */
  limit (budget: number): void { this.#budget = budget }

  /** Tells that the bytes of a retained thing have changed: it is sorted in again, and the budget is enforced. */
  changed (retained: Retained, now: number): void {
    this.now = now
    this.#weigh(retained)
    if (retained.counted > 0 && retained.byEnd.list === undefined) this.#schedule(retained, now)
    if (this.#bytes > this.#budget) this.#shrink()
  }

  remove (retained: Retained): void {
    this.#bytes -= retained.counted
    retained.counted = 0
    retained.bySize.remove()
    retained.byEnd.remove()
  }

  /**
   * Drops what has expired.
   *
   * @param most parts dropped and things examined in this call
   * @returns whether there is more to do now
   */
  sweep (now: number, most: number): boolean {
    this.now = now
    const tick = Math.floor(now / SLOT)
    // A clock that was changed must neither stop the wheel nor turn it more than once.
    this.#tick = Math.max(Math.min(this.#tick ?? tick, tick), tick - SLOTS)
    let rest = most
    for (;;) {
      for (let link = this.#due.first; link !== undefined; link = this.#due.first) {
        const { item } = link
        while (rest > 0 && item.ends <= now) {
          item.shiftExpired()
          rest--
        }
        this.#weigh(item)
        if (rest <= 0) return true
        rest--
        link.remove()
        if (item.counted > 0) this.#schedule(item, now)
      }
      if (this.#tick >= tick) return false
      const index = ++this.#tick % SLOTS
      const empty = this.#due
      this.#due = this.#slots[index]!
      this.#slots[index] = empty
    }
  }

  #weigh (retained: Retained): void {
    const { bytes } = retained
    this.#bytes += bytes - retained.counted
    if (bytes === 0) {
      retained.counted = 0
      retained.bySize.remove()
      retained.byEnd.remove()
      retained.emptied()
      return
    }
    if (bytes === retained.counted) return
    retained.counted = bytes
    const size = sizeOf(bytes)
    const list = this.#sizes[size] ??= new LinkedList()
    if (retained.bySize.list !== list) list.push(retained.bySize)
    if (size > this.#largest) this.#largest = size
  }

  #schedule (retained: Retained, now: number): void {
    const tick = this.#tick ??= Math.floor(now / SLOT)
    const at = Math.max(Math.ceil(retained.ends / SLOT), Math.floor(now / SLOT) + 1, tick + 1)
    this.#slots[Math.min(at, tick + SLOTS) % SLOTS]!.push(retained.byEnd)
  }

  #shrink (): void {
    while (this.#bytes > this.#budget) {
      const retained = this.#sizes[this.#largest]?.first?.item
      if (retained === undefined) {
        if (this.#largest === 0) return
        this.#largest--
        continue
      }
      retained.shift()
      this.evicted++
      this.#weigh(retained)
    }
  }
}

/** Sizes are rounded up to a multiple of so many bytes before they are classed. */
const GRAIN = 64

/** Size class of a number of bytes: eight classes for each power of two. */
function sizeOf (bytes: number): number {
  const grains = Math.min(Math.ceil(bytes / GRAIN), 0x7fffffff)
  const power = 31 - Math.clz32(grains)
  const eighth = power < 3 ? grains << (3 - power) : grains >>> (power - 3)
  return power * 8 + (eighth & 7)
}
