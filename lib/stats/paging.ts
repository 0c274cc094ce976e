import { Refusal } from '../errors/refusal.js'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 1_000

export interface Page<T> {
  readonly total: number
  readonly items: readonly T[]
  /** `after` of the next page; absent on the last page. */
  readonly next?: string
}

function whole (value: unknown, name: string, fallback: number, most: number): number {
  if (value === undefined) return fallback
  if (typeof value !== 'string' || !/^\d{1,9}$/.test(value)) {
    throw new Refusal('invalid_message', { message: `${name} must be a whole number` })
  }
  return Math.min(Number(value), most)
}

/**
 * Returns one page of a list, in an order that stays the same. `after` counts the items before the page, so items that
 * come or go between two requests shift the next page.
 *
 * @throws Refusal `invalid_message` for a `limit` or `after` that is no whole number
 */
export function page<T> (
  items: Iterable<T> | ((skipped: number) => Iterable<T>),
  total: number,
  query: unknown
): Page<T> {
  const { limit: asked, after } = query as { limit?: unknown, after?: unknown }
  const limit = Math.max(1, whole(asked, 'limit', DEFAULT_LIMIT, MAX_LIMIT))
  const start = whole(after, 'after', 0, Number.MAX_SAFE_INTEGER)
  const taken: T[] = []
  // A list that can skip items does not have to make them.
  let index = typeof items === 'function' ? start : 0
  for (const item of typeof items === 'function' ? items(start) : items) {
    if (index >= start) taken.push(item)
    index++
    if (taken.length === limit) break
  }
  return start + taken.length < total && taken.length > 0
    ? { total, items: taken, next: String(start + taken.length) }
    : { total, items: taken }
}
