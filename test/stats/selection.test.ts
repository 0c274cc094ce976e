import t from 'tap'
import { comparePlaces, merge, select, type Place, type Selection } from '../../lib/stats/selection.js'
import { Turns } from '../../lib/structures/turns.js'

interface Item { readonly id: number, readonly value: number }

/** Values that come several times each, in no order. */
const ITEMS: readonly Item[] = Array.from({ length: 1_000 }, (_, id) => ({ id, value: id * 7_919 % 97 }))

async function pageOf (
  items: Iterable<Item>,
  { isDescending = false, after, limit = 70, node = 'a', turns = new Turns(), isMeant = () => true }: {
    isDescending?: boolean
    after?: Place | undefined
    limit?: number
    node?: string
    turns?: Turns
    isMeant?: (item: Item) => boolean
  } = {}
): Promise<Selection<Item>> {
  return await select(items, {
    isMeant,
    isDescending,
    after,
    limit,
    turns,
    placeOf: ({ id, value }) => ({ value, id, node }),
    viewOf: (item) => item
  })
}

t.test('the pages of a list, one behind the other, hold each item once and in order, both ways', async (t) => {
  for (const isDescending of [false, true]) {
    const seen: Item[] = []
    let after: Place | undefined
    for (;;) {
      const { rows, rest, total } = await pageOf(ITEMS, { isDescending, after })
      t.same([total, rest], [1_000, 1_000 - seen.length])
      if (rows.length === 0) break
      seen.push(...rows.map(({ view }) => view))
      after = rows.at(-1)!.place
    }
    const expected = [...ITEMS].sort((a, b) => a.value - b.value || a.id - b.id)
    t.same(seen, isDescending ? expected.reverse() : expected)
  }
})

t.test('what stays is on one page alone, however many come and go in front of it between two pages', async (t) => {
  const first = await pageOf(ITEMS)
  const gone = new Set(first.rows.slice(0, 30).map(({ view }) => view.id))
  const changed = [...ITEMS.filter(({ id }) => !gone.has(id)), { id: 5_000, value: -1 }, { id: 5_001, value: -1 }]
  const second = await pageOf(changed, { after: first.rows.at(-1)!.place })
  const all = await pageOf(ITEMS, { limit: 140 })
  t.same(second.rows, all.rows.slice(70))
})

t.test('only what is meant counts, and only the rows of the page are made into what is shown', async (t) => {
  let made = 0
  const { total, rows } = await select(ITEMS, {
    isMeant: ({ value }) => value < 10,
    isDescending: false,
    limit: 5,
    turns: new Turns(),
    placeOf: ({ id, value }) => ({ value, id, node: 'a' }),
    viewOf: (item) => {
      made++
      return item
    }
  })
  t.same([total, rows.length, made], [ITEMS.filter(({ value }) => value < 10).length, 5, 5])
})

t.test('a long walk asks for a turn of its own every 32 items', async (t) => {
  let steps = 0
  const turns = { step: () => { steps++ } } as unknown as Turns
  await pageOf(ITEMS, { turns })
  t.equal(steps, Math.ceil(1_000 / 32))
})

t.test('the pages of several nodes are put together as if one node held everything', async (t) => {
  const half = (node: string, odd: number, after?: Place): Promise<Selection<Item>> =>
    pageOf(ITEMS.filter(({ id }) => id % 2 === odd), { node, after, isDescending: true })
  const options = { isDescending: true, limit: 70 }
  const first = merge([await half('a', 0), await half('b', 1)], options)
  const after = first.rows.at(-1)!.place
  const second = merge([await half('a', 0, after), await half('b', 1, after)], options)
  t.same([first.total, first.rest, second.rest], [1_000, 1_000, 930])
  const expected = ITEMS.map((view) => ({ view, place: { ...view, node: view.id % 2 === 0 ? 'a' : 'b' } }))
    .sort((a, b) => comparePlaces(a.place, b.place, true)).map(({ view }) => view)
  t.same([...first.rows, ...second.rows].map(({ view }) => view), expected.slice(0, 140))
})
