import { after } from './timers.js'

/**
 * Expires items that all get the same time. The item that was added first is always due first, so a single timer serves
 * all of them.
 */
export class DeadlineQueue<T> {
  readonly #ms: number
  readonly #expire: (item: T) => void
  readonly #due = new Map<T, number>()
  #timer: NodeJS.Timeout | undefined

  constructor (ms: number, expire: (item: T) => void) {
    this.#ms = ms
    this.#expire = expire
  }

  get size (): number { return this.#due.size }

  items (): T[] { return [...this.#due.keys()] }

  add (item: T): void {
    this.#due.set(item, performance.now() + this.#ms)
    if (this.#timer === undefined) this.#arm(this.#ms)
    else this.#timer.ref()
  }

  /**
   * The timer keeps running when the queue is empty, unreferenced: most upgrades are over within the turn of the event
   * loop that brings them, and a timer for each of them would cost more than everything else.
   *
   * @returns whether the item was in the queue
   */
  delete (item: T): boolean {
    const known = this.#due.delete(item)
    if (this.#due.size === 0) this.#timer?.unref()
    return known
  }

  stop (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm (ms: number): void {
    this.#timer = after(() => { this.#sweep() }, ms)
  }

  #sweep (): void {
    const now = performance.now()
    for (const [item, due] of this.#due) {
      // A timer may fire a fraction of a millisecond early.
      if (due > now + 1) break
      this.delete(item)
      this.#expire(item)
    }
    this.stop()
    const [next] = this.#due.values()
    if (next !== undefined) this.#arm(Math.max(1, next - now))
  }
}
