import fc from 'fast-check'
import t from 'tap'
import { itemsOf } from '../../lib/server-api/items.js'
import { parseJson } from '../../lib/protocol/json.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { Turns } from '../../lib/structures/turns.js'

const list = fc.array(fc.jsonValue({ maxDepth: 4 }), { minLength: 1, maxLength: 8 })

/** What JSON itself makes of a list. */
function whole (text: string): unknown[] | undefined {
  try {
    const parsed = parseJson(text)
    return Array.isArray(parsed) && parsed.length > 0 ? parsed : undefined
  } catch {
    return undefined
  }
}

async function cut (text: string): Promise<unknown[] | undefined> {
  try {
    const { items } = await itemsOf(text, 1_000_000, new Turns())
    return items.map((item) => item instanceof Refusal ? item : item.value)
  } catch {
    return undefined
  }
}

t.test('a list that is parsed thing by thing is what JSON makes of it as a whole', async (t) => {
  await fc.assert(fc.asyncProperty(list, fc.constantFrom(undefined, 1, '\t'), async (items, indent) => {
    const text = JSON.stringify(items, undefined, indent)
    t.strictSame(await cut(text), whole(text))
  }), { numRuns: 200 })
})

t.test('a text with one character more, less or other is a list for both, or for neither', async (t) => {
  const character = fc.constantFrom('"', '\\', ',', '[', ']', '{', '}', ':', '1', ' ', 'e', '')
  await fc.assert(fc.asyncProperty(list, character, fc.nat(), fc.boolean(), async (items, by, at, isPut) => {
    const text = JSON.stringify(items)
    const place = at % text.length
    const changed = `${text.slice(0, place)}${by}${text.slice(place + (isPut ? 0 : 1))}`
    // What begins otherwise is one thing and no list.
    if (/^\s*\[/.test(changed)) t.strictSame(await cut(changed), whole(changed), changed)
  }), { numRuns: 600 })
})
