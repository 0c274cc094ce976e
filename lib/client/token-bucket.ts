import type { JoinData } from './links/link.js'
import { now } from './timers.js'

/**
 * Takes a token and returns 0, or returns the milliseconds until there is one. What may not wait for others (weight 0)
 * has a second bucket once the first is empty, as at the server.
 */
export type Take = (weight?: number) => number

/**
 * Keeps the client a fifth below a rate of the server: a message that is refused for its rate would arrive behind later
 * ones.
 *
 * @param rate by default that of a server which does not say it
 */
export function bucket ({ messages = 50, burst = 100 }: Partial<JoinData['rate']> = {}): Take {
  /** Milliseconds in which a token comes. */
  const each = 1_000 / messages
  /** Time by `now()` at which the next message is due; a pause puts it no further back than a burst is long. */
  let next = -Infinity
  let spare: Take | undefined
  return (weight = 1) => {
    const at = now()
    next = Math.max(next, at - Math.max(0, burst * 0.8 - 1) * each)
    // Timers have whole milliseconds.
    if (next > at) return weight ? next - at + 1 : (spare ??= bucket({ messages, burst }))()
    next += each
    return 0
  }
}
