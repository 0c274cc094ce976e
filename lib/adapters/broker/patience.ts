import { after, every } from '../../structures/timers.js'

/** There was no answer in time. */
export class Late extends Error {
  constructor () { super('there was no answer in time') }
}

/**
 * How many times longer than a request what a start asks for may take: a process that starts is busy, and would read an
 * answer that came in time only when that is over.
 */
export const FIRST = 3

/** A timer that fires so many milliseconds late shows that this process stood still, and that time does not count. */
const STALL = 100
/** Milliseconds between two readings of `LoopClock`. */
const TICK = 50

/**
 * Waits for an answer with a deadline, since a client may hold a request back without one and a server may stand still.
 * This process may stand still as well: then the answer may be here without having been read, so it gets as much time
 * again.
 *
 * @param patience milliseconds
 * @throws Late
 */
export async function within<T> (answer: Promise<T>, patience: number): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    let due = performance.now() + patience
    const check = (): void => {
      const late = performance.now() - due
      if (late > STALL) {
        due = performance.now() + Math.min(late, patience)
        timer = after(check, Math.min(late, patience))
        // An event loop that stood still runs its timers before it reads what has arrived meanwhile.
      } else setImmediate(() => { reject(new Late()) })
    }
    let timer = after(check, patience)
    answer.then((value) => {
      clearTimeout(timer)
      resolve(value)
    }, (error: Error) => {
      clearTimeout(timer)
      reject(error)
    })
  })
}

/** Measures the time in which this process was running; pauses of the process do not count. */
export class LoopClock {
  #now = 0
  #seenAt = performance.now()
  #timer: NodeJS.Timeout | undefined

  start (): void { this.#timer = every(() => { this.now() }, TICK).unref() }

  stop (): void { clearInterval(this.#timer) }

  /** Milliseconds. */
  now (): number {
    const at = performance.now()
    this.#now += Math.min(at - this.#seenAt, STALL)
    this.#seenAt = at
    return this.#now
  }
}
