export interface Rate { /** Messages per second. */ readonly messages: number, readonly burst: number }

/**
 * Returns the tokens in a bucket after a time in which it was filled.
 *
 * @param tokens that were in it before
 * @param elapsed milliseconds since then
 */
export function refilled ({ messages, burst }: Rate, tokens: number, elapsed: number): number {
  return Math.min(burst, tokens + elapsed * messages / 1_000)
}
