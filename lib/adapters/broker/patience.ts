import { after, every } from '../../structures/timers.js'

/** There was no answer in time. */
export class Late extends Error {
  constructor () { super('there was no answer in time') }
}

/** A timer that comes so many milliseconds late tells that this process stood still: its time did not count. */
const STALL = 100
/** Milliseconds between two looks at the clock of a loop. */
const TICK = 50

/**
 * Waits for an answer. A client may hold a request back without a deadline, and a server may stand still. So may this
 * process: then the answer may be here and not read, and it is given as much time again.
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
        // A loop that stood still runs its timers before it reads what has come meanwhile.
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

/** Time in which this process did something: what it stood still for does not count. */
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
