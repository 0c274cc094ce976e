/** Longest wait of one timer in milliseconds: the platform fires a timer of more than 2 ** 31 at once. */
export const LONGEST = 2e9

/** Where a platform has no monotonic clock, its wall clock is taken. */
const clock = globalThis.performance ?? Date

/** Milliseconds of a monotonic clock, for measuring how long something takes. */
export const now = (): number => clock.now()

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

/** A signal that is aborted after a time, at most `LONGEST`. */
export function abortAfter (wait: number): AbortSignal {
  if (typeof AbortSignal === 'function' && 'timeout' in AbortSignal) return AbortSignal.timeout(wait)
  const controller = new AbortController()
  after(wait, () => { controller.abort() })
  return controller.signal
}

export interface Timers {
  /** Calls back after `wait` milliseconds, and replaces the pending call of the same name, or of the same object. */
  after (name: string | object, wait: number, callback: () => void): void
  /** Cancels all pending calls. */
  cancel (): void
}

export function createTimers (): Timers {
  const timers = new Map<string | object, () => void>()
  return {
    after (name, wait, callback) {
      timers.get(name)?.()
      timers.set(name, after(wait, () => {
        timers.delete(name)
        callback()
      }))
    },
    cancel () {
      timers.forEach((stop) => { stop() })
      timers.clear()
    }
  }
}
