import { refilled, type Rate } from '../structures/refilled.js'
import { now } from './timers.js'

/**
 * Keeps the client a fifth below a rate of the server: a message that is refused for its rate would arrive behind later
 * ones.
 *
 * @param rate by default that of a server which does not say it
 * @returns a function that takes a token and returns 0, or returns the milliseconds until there is one
 */
export function bucket ({ messages, burst }: Rate = { messages: 50, burst: 100 }): () => number {
  const rate = { messages, burst: Math.max(1, burst * 0.8) }
  let tokens = rate.burst
  let last = now()
  return () => {
    const at = now()
    tokens = refilled(rate, tokens, at - last)
    last = at
    if (tokens < 1) return (1 - tokens) * 1_000 / messages + 1
    tokens--
    return 0
  }
}
