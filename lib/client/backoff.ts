const BASE = 500
const MOST = 20_000

/**
 * Milliseconds until the next attempt: `min(20 s, 0.5 s + random(0, min(20 s, 0.5 s * 2^attempt)))`.
 *
 * @param attempt attempts that failed before this one
 */
export function backoff (attempt: number): number {
  return Math.min(MOST, BASE + Math.random() * Math.min(MOST, BASE * 2 ** attempt))
}
