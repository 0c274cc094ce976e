export interface Silence {
  /** something came */
  heard (): void
  /** watches from now on: silent for `quiet` milliseconds, it asks; for `answer` milliseconds more, it is dead */
  watch (quiet: number, answer: number): void
  /** asks at once */
  probe (): void
  stop (): void
}

/**
 * Finds links that are dead without a word. It always asks before it gives up: a timer of a hidden page, or of a machine that slept,
 * fires long after its time, while what has come since still waits to be read.
 */
export function createSilence (ask: () => void, dead: () => void): Silence {
  let timer: ReturnType<typeof setTimeout> | undefined
  let last = 0
  let pause = 0
  let patience = 0
  let isAsked = false

  const arm = (wait: number): void => {
    clearTimeout(timer)
    timer = setTimeout(check, wait)
  }
  const probe = (): void => {
    isAsked = true
    arm(patience)
    // May stop the watch: another link takes the place of this one.
    ask()
  }
  const check = (): void => {
    const rest = last + pause - Date.now()
    if (isAsked) dead()
    else if (rest > 0) arm(rest)
    else probe()
  }
  return {
    heard () {
      last = Date.now()
      isAsked = false
    },
    watch (quiet, answer) {
      last = Date.now()
      pause = quiet
      patience = answer
      isAsked = false
      arm(quiet)
    },
    probe,
    stop () { clearTimeout(timer) }
  }
}
