import type { Part } from '../part.js'
import { here } from '../platform.js'

/**
 * Reconnects at once when the platform is online again or the page is shown, and finds out then whether the link is
 * still alive. Without it the client waits for its next attempt, or the next heartbeat.
 */
export const wake: Part = ({ line, host, isHub }) => {
  // The tabs tell what holds the link for them.
  if (isHub) return
  const { reconnect } = line
  const { over } = host
  let life: AbortController | undefined
  const changed = ({ type }: { type: string }): void => {
    if (here.navigator?.onLine !== false && !here.document?.hidden) line.wake(type === 'online')
  }
  line.reconnect = () => {
    life?.abort()
    life = new AbortController()
    // Each of these events may be the first to tell of a change.
    for (const type of ['online', 'offline']) here.addEventListener?.(type, changed, life)
    here.document?.addEventListener?.('visibilitychange', changed, life)
    reconnect()
  }
  host.over = (reason, isMeant) => {
    life?.abort()
    over(reason, isMeant)
  }
}
