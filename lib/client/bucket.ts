export interface Rate { readonly messages: number, readonly burst: number }

/**
 * Keeps below a rate of the server's, with a fifth to spare: a message refused for its rate would arrive behind later ones.
 *
 * @returns what takes a token and gives 0, or gives the milliseconds until there is one
 */
export function bucket ({ messages, burst }: Rate): () => number {
  const most = Math.max(1, burst * 0.8)
  let tokens = most
  let last = Date.now()
  return () => {
    const now = Date.now()
    tokens = Math.min(most, tokens + Math.max(0, now - last) * messages / 1_000)
    last = now
    if (tokens < 1) return (1 - tokens) * 1_000 / messages + 1
    tokens--
    return 0
  }
}
