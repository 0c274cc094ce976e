import type { Part } from '../part.js'
import { now } from '../timers.js'

/**
 * Milliseconds on a fallback transport until the first one is tried again. They double each time that the attempt
 * fails.
 */
const UPWARD = 300_000

/** Tries the first transport again from time to time. Without it a client stays with the one to which it fell back. */
export const upward: Part = ({ line, host, shown }) => {
  const { up } = host
  const [first] = line.transports
  let wait = UPWARD
  /** Time by `now()` of the next attempt; 0 where none is due. */
  let at = 0
  host.up = (data) => {
    up(data)
    if (line.isShared) return
    if (shown.transport === first) {
      // That the state is the same says nothing of the transport, which pages show with it.
      if (wait > UPWARD && shown.state === 'open') host.say({ state: 'open' }, 'state')
      wait = UPWARD
      at = 0
      return
    }
    if (!at) {
      at = now() + wait
      wait *= 2
    }
    line.after('upward', at - now(), () => {
      line.climb(at = 0)
    })
  }
}
