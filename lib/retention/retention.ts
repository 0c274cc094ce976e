import { Link, LinkedList } from '../structures/linked-list.js'

/** Something that is kept for a time and within a budget, and that loses its oldest part first. */
export abstract class Retained {
  abstract get bytes (): number
  /**
   * milliseconds, by the clock of whoever sweeps it, at which its oldest part has run out; `Infinity` when it has none
   */
  abstract get ends (): number
  /** Loses its oldest part. */
  abstract shift (): void
  /** It has nothing left. */
  emptied (): void {}

  /** bytes that its `Retention` has counted */
  counted = 0
  /** among those of about its size */
  readonly bySize = new Link<Retained>(this)
  /** among those that are looked at next at about the same time */
  readonly byEnd = new Link<Retained>(this)
}

/** Milliseconds in one slot of the wheel: nothing is looked at more often. */
const SLOT = 500
/** What ends later than the wheel reaches is looked at when it has come round, and put on. */
const SLOTS = 256

/**
 * Many retained things under one byte budget. Over it, one that holds about the most (within an eighth) loses its
 * oldest part; what has run out goes by a timing wheel. Each step costs the same however many there are. Pure: the
 * clock is an argument.
 */
export class Retention {
  readonly #budget: number
  readonly #sizes: Array<LinkedList<Retained>> = []
  #largest = 0
  readonly #slots = Array.from({ length: SLOTS }, () => new LinkedList<Retained>())
  /** the slot that is being swept */
  #due = new LinkedList<Retained>()
  /** the last slot whose time has come */
  #tick: number | undefined
  #bytes = 0
  /** parts that had to go before their time */
  evicted = 0

  /** @param budget bytes of all together */
  constructor (budget: number) {
    this.#budget = budget
  }

  get bytes (): number { return this.#bytes }

  /** Its bytes have changed: it finds its place, and the budget is kept. */
  changed (retained: Retained, now: number): void {
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
   * Lets go what has run out.
   *
   * @param most parts lost and things looked at
   * @returns whether there is more to do now
   */
  sweep (now: number, most: number): boolean {
    const tick = Math.floor(now / SLOT)
    // A clock that was set must not make the wheel wait, nor turn it more than once.
    this.#tick = Math.max(Math.min(this.#tick ?? tick, tick), tick - SLOTS)
    let rest = most
    for (;;) {
      for (let link = this.#due.first; link !== undefined; link = this.#due.first) {
        const { item } = link
        while (rest > 0 && item.ends <= now) {
          item.shift()
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

/** Bytes that make no difference. */
const GRAIN = 64

/** Eight sizes for each power of two. */
function sizeOf (bytes: number): number {
  const grains = Math.min(Math.ceil(bytes / GRAIN), 0x7fffffff)
  const power = 31 - Math.clz32(grains)
  const eighth = power < 3 ? grains << (3 - power) : grains >>> (power - 3)
  return power * 8 + (eighth & 7)
}
