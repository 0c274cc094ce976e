import { now, type Timers } from './timers.js'

export interface Liveness {
  /** Tells that the peer has sent something. */
  heard (): void
  /**
   * Watches from now on: after `quiet` milliseconds of silence and its patience it asks the peer; after its patience
   * once more it calls the link dead.
   */
  watch (quiet: number): void
  /** Asks the peer at once. */
  probe (): void
}

/**
 * Finds links that died without a close. It always asks before it gives up: the timer of a hidden page, or of a machine
 * that slept, fires long after its time, while data that arrived since then still waits to be read. It watches as long
 * as the link's timers run.
 *
 * @param ask is told whether anything has been heard since the watch began
 * @param patience milliseconds that an answer, or a frame that is due, may take
 */
export function createLiveness (
  after: Timers['after'],
  patience: number,
  ask: (isProven: boolean) => void,
  dead: () => void
): Liveness {
  let last: number
  let begun: number
  let pause: number
  let isAsked: boolean

  const arm = (wait: number): void => { after('ping', wait, check) }
  const probe = (): void => {
    isAsked = true
    arm(patience)
    // `ask` may replace the link, which stops this watch.
    ask(last > begun)
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
    watch (quiet) {
      begun = last = now()
      isAsked = false
      arm(pause = quiet + patience)
    },
    probe
  }
}
