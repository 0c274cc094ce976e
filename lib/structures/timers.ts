/** The longest that a timer of the platform waits; a longer one would fire after 1 ms. */
const LONGEST = 2_147_483_647

/**
 * Calls `fire` when all parts of `wait` have passed; a timer that is refreshed stays the same handle, referenced or not
 * as before.
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

/** `setTimeout` for every wait, `Infinity` included, which never fires. The handle is for `clearTimeout`. */
export function after (callback: () => void, wait: number): NodeJS.Timeout {
  return wait > LONGEST ? inParts(callback, wait) : setTimeout(callback, wait)
}

/** `setInterval` for every period. The handle is for `clearInterval`. */
export function every (callback: () => void, period: number): NodeJS.Timeout {
  if (period <= LONGEST) return setInterval(callback, period)
  return inParts((again) => {
    again()
    callback()
  }, period)
}
