import type { StatsSnapshot } from '../../snapshot.js'

/** What programs did by one key of the server API, on all nodes that are shown. */
export type KeyRow = readonly [name: string, published: number, refused: number]

/** Adds up what the nodes count by the names of the keys. */
export function keyRows (all: ReadonlyArray<Pick<StatsSnapshot, 'api'>>): KeyRow[] {
  const rows = new Map<string, KeyRow>()
  for (const [key, of] of all.flatMap(({ api }) => Object.entries(api ?? {}))) {
    const name = key === '' ? '(no valid key)' : key
    const [, published, refused] = rows.get(name) ?? [name, 0, 0]
    // A node of another version may not count each of them.
    const { published: more = 0, refused: codes = {} } = of as Partial<typeof of>
    rows.set(name, [name, published + more, Object.values(codes).reduce((a, b) => a + b, refused)])
  }
  return [...rows.values()]
}
