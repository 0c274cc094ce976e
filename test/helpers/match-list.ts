/**
 * `t.match` lets a list go on behind the last item of its pattern, so an event that came twice would pass.
 */
import type { Test } from 'tap'

/** No value is the same as it. */
const NOTHING_MORE = Symbol('nothing more')

function isPlain (value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** A pattern whose lists, nested ones too, match none that is longer. */
export function closed (pattern: unknown, found: unknown): unknown {
  const within = (key: string): unknown => (found as Record<string, unknown> | null | undefined)?.[key]
  if (Array.isArray(pattern)) {
    const items = pattern.map((item: unknown, at) => closed(item, within(String(at))))
    const more = Array.isArray(found) ? found.length - pattern.length : 1
    return more > 0 ? [...items, ...Array<symbol>(more).fill(NOTHING_MORE)] : items
  }
  if (!isPlain(pattern)) return pattern
  return Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, closed(value, within(key))]))
}

/** Like `t.match`, but every list has as many items as its pattern. To look at the first ones alone, give a slice. */
export function matchList (t: Pick<Test, 'match'>, found: unknown, pattern: unknown, message?: string): boolean {
  return t.match(found, closed(pattern, found), ...message === undefined ? [] : [message])
}
