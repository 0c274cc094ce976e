import { now } from './timers.js'

export interface Rate { readonly messages: number, readonly burst: number }

/**
 * Keeps the client a fifth below a rate of the server: a message that is refused for its rate would arrive behind later
 * ones.
 *
 * @returns a function that takes a token and returns 0, or returns the milliseconds until there is one
 */
export function bucket ({ messages, burst }: Rate): () => number {
  const most = Math.max(1, burst * 0.8)
  let tokens = most
  let last = now()
  return () => {
    const at = now()
    tokens = Math.min(most, tokens + (at - last) * messages / 1_000)
    last = at
    if (tokens < 1) return (1 - tokens) * 1_000 / messages + 1
    tokens--
    return 0
  }
}
