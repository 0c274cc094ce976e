import type { Turns } from '../structures/turns.js'

/**
 * Where a row stands in an order: by its value, then by what tells it from all others of that value. No row moves while
 * others come and go, so a page begins behind the last row of the page before it, whatever happened in between.
 */
export interface Place {
  readonly value: string | number
  readonly id: string | number
  readonly node: string
}

export interface Row<V> { readonly place: Place, readonly view: V }

export interface Selection<V> {
  /** Items that match. */
  readonly total: number
  /** Items that match and stand behind the page's beginning. */
  readonly rest: number
  /** The first of them, in order. */
  readonly rows: ReadonlyArray<Row<V>>
}

export interface SelectionOptions<T, V> {
  readonly isMeant: (item: T) => boolean
  readonly placeOf: (item: T) => Place
  /** Makes what is shown; called for the rows of the page alone. */
  readonly viewOf: (item: T) => V
  readonly isDescending: boolean
  readonly after?: Place | undefined
  readonly limit: number
  readonly turns: Turns
}

/** Items that are examined between two looks at the clock. */
const AT_ONCE = 32

function compare<T extends string | number> (a: T, b: T): number { return a < b ? -1 : a > b ? 1 : 0 }

/** Compares by code units: all nodes agree on the order, whatever their language. */
export function comparePlaces (a: Place, b: Place, isDescending: boolean): number {
  const order = compare(a.value, b.value) || compare(a.id, b.id) || compare(a.node, b.node)
  return isDescending ? -order : order
}

/**
 * Finds one page of very many items in an order, without sorting them all: it keeps the rows of the page alone, and
 * gives the event loop away between parts of the walk.
 */
export async function select<T, V> (items: Iterable<T>, options: SelectionOptions<T, V>): Promise<Selection<V>> {
  const { isMeant, placeOf, viewOf, isDescending, after, limit, turns } = options
  const kept: Array<{ place: Place, item: T }> = []
  let total = 0
  let rest = 0
  let looked = 0
  for (const item of items) {
    if (looked++ % AT_ONCE === 0) {
      const wait = turns.step()
      if (wait !== undefined) await wait
    }
    if (!isMeant(item)) continue
    total++
    const place = placeOf(item)
    if (after !== undefined && comparePlaces(place, after, isDescending) <= 0) continue
    rest++
    if (kept.length === limit && comparePlaces(place, kept[limit - 1]!.place, isDescending) > 0) continue
    let low = 0
    let high = kept.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (comparePlaces(kept[middle]!.place, place, isDescending) < 0) low = middle + 1
      else high = middle
    }
    kept.splice(low, 0, { place, item })
    if (kept.length > limit) kept.pop()
  }
  return { total, rest, rows: kept.map(({ place, item }) => ({ place, view: viewOf(item) })) }
}

/** Puts the pages of several nodes together. */
export function merge<V> (
  parts: ReadonlyArray<Selection<V>>,
  { isDescending, limit }: { readonly isDescending: boolean, readonly limit: number }
): Selection<V> {
  const rows = parts.flatMap((part) => part.rows).sort((a, b) => comparePlaces(a.place, b.place, isDescending))
  return {
    total: parts.reduce((sum, part) => sum + part.total, 0),
    rest: parts.reduce((sum, part) => sum + part.rest, 0),
    rows: rows.slice(0, limit)
  }
}
