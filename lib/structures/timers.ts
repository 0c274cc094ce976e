/** The longest wait of the platform's timers in milliseconds; a longer one would fire after 1 ms. */
const LONGEST = 2_147_483_647

/**
 * Calls `fire` when all parts of `wait` have passed. Each part refreshes the same timer, so the handle and whether it
 * is referenced stay as they were.
 */
function inParts (fire: (again: () => void) => void, wait: number): NodeJS.Timeout {
  const parts = Math.ceil(wait / LONGEST)
  let left = parts
  const timer = setTimeout(() => {
    if (--left > 0) timer.refresh()
    else {
      left = parts
      fire(() => { timer.refresh() })
    }
  }, Math.min(LONGEST, wait / parts || LONGEST))
  return timer
}

/** `setTimeout` for a wait of any length; a wait of `Infinity` never fires. The handle is for `clearTimeout`. */
export function after (callback: () => void, wait: number): NodeJS.Timeout {
  return wait > LONGEST ? inParts(callback, wait) : setTimeout(callback, wait)
}

/** `setInterval` for a period of any length. The handle is for `clearInterval`. */
export function every (callback: () => void, period: number): NodeJS.Timeout {
  if (period <= LONGEST) return setInterval(callback, period)
  return inParts((again) => {
    again()
    callback()
  }, period)
}
