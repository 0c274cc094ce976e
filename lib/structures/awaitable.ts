/** A value or a promise of it. What is in memory is returned without a promise, so callers handle both. */
export type Awaitable<T> = T | Promise<T>
