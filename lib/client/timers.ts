/** Milliseconds of one timer at most: the platform fires one of more than 2 ** 31 at once. */
export const LONGEST = 2e9

/** Milliseconds by a clock that nobody sets: for how long something takes. */
export const now = (): number => performance.now()

/** Calls once, after any number of milliseconds, `Infinity` included. @returns what undoes it */
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
  /** Calls after `wait` milliseconds, in place of what was to be called under that name. */
  after (name: string, wait: number, callback: () => void): void
  /** Nothing is called any more. */
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
