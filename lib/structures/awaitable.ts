/** A value, or a promise of it: what is in memory is not worth a promise. Callers handle both. */
export type Awaitable<T> = T | Promise<T>
