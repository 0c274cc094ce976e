import { after } from '../structures/timers.js'
import { Batch } from './batch.js'

export interface Flushable {
  /** a flush would write */
  readonly isReady?: boolean
  flush (): void
}

/** Milliseconds that one slice of writes may keep the event loop. */
const SLICE = 3
const CHECK_EVERY = 32
/** Outboxes that are looked at together. */
const AHEAD = 32

/**
 * A look at the next ones of a list before each is flushed. From an outbox a chain of objects leads to its socket, and
 * with thousands of connections none is in a cache of the processor. In a loop as short as this one it waits for
 * several chains at once, in the long loop of the writes for one after the other (what that is worth:
 * bench/RESULTS.md).
 */
function lookAhead (due: readonly Flushable[], from: number): number {
  const end = Math.min(from + AHEAD, due.length)
  let ready = 0
  for (let i = from; i < end; i++) if (due[i]!.isReady === true) ready++
  return ready
}

/**
 * Writes what was queued in a turn of the event loop at its end, so that frames from different sockets merge into one
 * write per connection; a microtask would run between the sockets. Very large fan-outs yield between slices; each
 * connection keeps its own order.
 */
export class Flusher {
  /** where this turn's sequences start */
  root = new Batch()
  /**
   * of the outboxes looked at last, those that could write: of a look without a result the compiler would leave little
   */
  reachable = 0
  #due: Flushable[] = []
  #isArmed = false
  readonly #windows = new Map<number, { readonly due: Flushable[], timer: NodeJS.Timeout }>()

  /** Flushes at the end of this turn. */
  soon (outbox: Flushable): void {
    this.#due.push(outbox)
    if (this.#isArmed) return
    this.#isArmed = true
    setImmediate(this.#run)
  }

  /** Flushes with all others of the same window, at most `ms` from now. */
  later (outbox: Flushable, ms: number): void {
    const window = this.#windows.get(ms)
    if (window !== undefined) {
      window.due.push(outbox)
      return
    }
    const due = [outbox]
    const timer = after(() => {
      this.#windows.delete(ms)
      for (const each of due) this.soon(each)
    }, ms)
    this.#windows.set(ms, { due, timer })
  }

  readonly #run = (): void => {
    const due = this.#due
    this.#due = []
    this.#isArmed = false
    this.root = new Batch()
    const end = performance.now() + SLICE
    for (let i = 0; i < due.length; i++) {
      if (i % AHEAD === 0) this.reachable = lookAhead(due, i)
      due[i]!.flush()
      if (i % CHECK_EVERY === CHECK_EVERY - 1 && performance.now() > end && i + 1 < due.length) {
        // What was queued meanwhile waits behind: the order among connections does not matter, that within one is its
        // own.
        this.#due = due.slice(i + 1).concat(this.#due)
        if (!this.#isArmed) {
          this.#isArmed = true
          setImmediate(this.#run)
        }
        return
      }
    }
  }

  close (): void {
    for (const { timer, due } of this.#windows.values()) {
      clearTimeout(timer)
      for (const each of due) each.flush()
    }
    this.#windows.clear()
  }
}
