/** Whether it is to be awaited: queries of some libraries are no promises, and begin once somebody waits for them. */
export function isThenable<T> (value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
