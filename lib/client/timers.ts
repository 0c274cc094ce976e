/** Longest wait of one timer in milliseconds: the platform fires a timer of more than 2 ** 31 at once. */
export const LONGEST = 2e9

/** Milliseconds of a monotonic clock, for measuring how long something takes. */
export const now = (): number => performance.now()

/**
 * Calls back once, after any number of milliseconds, `Infinity` included.
 *
 * @returns a function that cancels the call
 */
export function after (wait: number, callback: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>
  const arm = (): void => {
    timer = setTimeout(wait > LONGEST ? arm : callback, Math.min(wait, LONGEST))
    wait -= LONGEST
  }
  arm()
  return () => { clearTimeout(timer) }
}

export interface Timers {
  /** Calls back after `wait` milliseconds, and replaces the pending call of the same name. */
  after (name: string, wait: number, callback: () => void): void
  /** Cancels all pending calls. */
  cancel (): void
}

export function createTimers (): Timers {
  const timers = new Map<string, () => void>()
  return {
    after (name, wait, callback) {
      timers.get(name)?.()
      timers.set(name, after(wait, callback))
    },
    cancel () {
      timers.forEach((stop) => { stop() })
      timers.clear()
    }
  }
}
