/** The longest that a timer of the platform waits. */
const LONGEST = 2_147_483_647

export interface Timers {
  /** Calls after `wait` milliseconds, in place of what was to be called under that name. */
  after (name: string, wait: number, callback: () => void): void
  /** Nothing is called any more. */
  cancel (): void
}

export function createTimers (): Timers {
  const timers = new Map<string, ReturnType<typeof setTimeout>>()
  return {
    after (name, wait, callback) {
      clearTimeout(timers.get(name))
      timers.set(name, setTimeout(callback, Math.min(wait, LONGEST)))
    },
    cancel () {
      for (const timer of timers.values()) clearTimeout(timer)
      timers.clear()
    }
  }
}
