import t from 'tap'
import { encodePart, gatherParts } from '../../lib/protocol/part-frames.js'
import {
  beforeOf, dataOf, gathered, grown, insideOf, restOf, startsWith, type Part
} from '../../lib/protocol/part.js'
import { checkOf } from '../../lib/protocol/text-check.js'

function stretch (text: string | unknown[], from: number, version: number, more: Partial<Part> = {}): Part {
  const isList = Array.isArray(text)
  return {
    before: beforeOf({ id: 'a' }, 'id', 'text', isList),
    inside: insideOf(text),
    isList,
    from,
    to: from + text.length,
    version,
    begun: 1,
    ...more
  }
}

t.test('stretches joined without being parsed are the JSON of the whole, halves of a pair too', async (t) => {
  for (const text of ['plain "quoted" \\ \n\u2028', '漢字 😀😀', '\ud83d\ude00', '']) {
    for (let cut = 0; cut <= text.length; cut++) {
      const parts = [stretch(text.slice(0, cut), 0, 1), stretch(text.slice(cut), cut, 2)]
      const whole = gathered(parts)
      t.same([JSON.parse(dataOf(whole)), whole.from, whole.to], [{ id: 'a', text }, 0, text.length])
      const rest = restOf(grown(parts[0], parts[1]!)!, cut)
      t.same([JSON.parse(dataOf(rest)), rest.from], [{ id: 'a', text: text.slice(cut) }, cut])
    }
  }
  const items = [{ a: 1 }, null, '[', [2]]
  const list = gathered([stretch(items.slice(0, 1), 0, 1), stretch([], 1, 2), stretch(items.slice(1), 1, 3)])
  t.same(JSON.parse(dataOf(list)), { id: 'a', text: items })
  t.same(JSON.parse(dataOf(restOf(list, 3))), { id: 'a', text: items.slice(3) })
})

t.test('the key stands first in the data of a frame, and what grows last', async (t) => {
  const part = { ...stretch('x', 3, 1), before: beforeOf({ model: 'm', id: 'a', n: 1 }, 'id', 'text', false) }
  const packet = encodePart({ type: 'answer', room: 'ai/1', key: 'a', timestamp: 5 }, { ...part, end: 'done' })
  t.equal(
    String(packet.payload),
    '{"type":"answer","room":"ai/1","data":{"id":"a","model":"m","n":1,"text":"x"},"from":3,"end":"done","timestamp":5}'
  )
  const more = encodePart({ type: 'answer', room: 'ai/1', key: 'a', timestamp: 6 }, { ...part, from: 4, to: 5 })
  t.match(JSON.parse(String(gatherParts([packet, more]).payload)), { data: { text: 'xx' }, from: 3, timestamp: 6 })
})

t.test('a stretch grows the text that it continues; what is known changes nothing, and a hole is told', async (t) => {
  const one = stretch('abc', 0, 1)
  const two = grown(one, stretch('def', 3, 2))!
  t.same([two.inside, two.from, two.to], ['abcdef', 0, 6])
  t.equal(grown(two, stretch('def', 3, 2)), two, 'it came twice')
  t.equal(grown(two, stretch('b', 1, 1)), two, 'its from goes back')
  t.equal(grown(two, stretch('x', 7, 4)), undefined, 'something before it is missing')
  t.equal(grown(two, stretch('x', 6, 4, { begun: 3 })), undefined, 'it is of another text')
  t.equal(grown(undefined, stretch('x', 6, 4)), undefined)
  t.equal(grown(two, stretch('new', 0, 4, { begun: 4 }))!.inside, 'new', 'another text takes its place')
})

t.test('what a client says that it has is told by its length and its end', async (t) => {
  const text = 'the beginning of a text that is long enough'
  const whole = stretch(text, 0, 1)
  for (const length of [0, 1, 20, text.length]) {
    t.equal(startsWith(whole, ['answer', 'a', length, checkOf(text.slice(0, length))]), true)
  }
  t.equal(startsWith(whole, ['answer', 'a', 3, checkOf('then')]), false, 'another text')
  t.equal(startsWith(whole, ['answer', 'a', 99, checkOf(text)]), false, 'a longer one')
  t.equal(checkOf([{ a: 1 }, 2]), checkOf([{ a: 1 }, 2, 3], 2))
})
