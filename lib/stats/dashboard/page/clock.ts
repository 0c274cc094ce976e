/** Every timer of the page: one that is set again under its name takes the place of the one before. */
const timers = new Map<string, ReturnType<typeof setTimeout>>()

/** Calls back once after `ms` milliseconds, unless the same name is set or cleared before. */
export function later (name: string, callback: () => void, ms: number): void {
  clear(name)
  timers.set(name, setTimeout(() => {
    timers.delete(name)
    callback()
  }, ms))
}

export function clear (name: string): void {
  clearTimeout(timers.get(name))
  timers.delete(name)
}

/** A signal that aborts after `ms` milliseconds. */
export function patience (ms: number): AbortSignal { return AbortSignal.timeout(ms) }
