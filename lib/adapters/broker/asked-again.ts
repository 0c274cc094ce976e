/**
 * A caller waits this many times the timeout of a publish for its result, at most: the broker executes it within the
 * first timeout, or never (NATS: maybe later).
 */
export const LEARN = 2.5
/** Milliseconds after that in which a caller who was told that nobody knows publishes again under the same key. */
const AGAIN = 30_000

/** Milliseconds for which a publication has to be found again by its key, at least. */
export function leastKept (timeout: number): number { return Math.ceil(AGAIN + LEARN * timeout) }

/**
 * Milliseconds for which an idempotency key is remembered. A shorter time than a caller may wait would make a publish
 * that is asked for again another one, or one of which it is said that it was not done.
 */
export function keptFor (idempotency: number, timeout: number): number {
  return Math.max(Math.ceil(idempotency), leastKept(timeout))
}
