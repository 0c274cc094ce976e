import { now, type Timers } from './timers.js'

export interface Liveness {
  /** something came */
  heard (): void
  /** watches from now on: silent for `quiet` milliseconds, it asks; for `answer` milliseconds more, it is dead */
  watch (quiet: number, answer: number): void
  /** asks at once */
  probe (): void
}

/**
 * Finds links that are dead without a word. It always asks before it gives up: a timer of a hidden page, or of a
 * machine that slept, fires long after its time, while what has come since still waits to be read. It watches for as
 * long as the link's timers run.
 */
export function createLiveness (after: Timers['after'], ask: () => void, dead: () => void): Liveness {
  let last = 0
  let pause = 0
  let patience = 0
  let isAsked = false

  const arm = (wait: number): void => { after('ping', wait, check) }
  const probe = (): void => {
    isAsked = true
    arm(patience)
    // May stop the watch: another link takes the place of this one.
    ask()
  }
  const check = (): void => {
    const rest = last + pause - now()
    if (isAsked) dead()
    else if (rest > 0) arm(rest)
    else probe()
  }
  const heard = (): void => {
    last = now()
    isAsked = false
  }
  return {
    heard,
    watch (quiet, answer) {
      heard()
      pause = quiet
      patience = answer
      arm(quiet)
    },
    probe
  }
}
