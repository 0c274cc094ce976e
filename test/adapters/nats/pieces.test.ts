import t from 'tap'
import { piecesOf } from '../../../lib/adapters/nats/pieces.js'
import { insideOf, joined } from '../../../lib/protocol/part.js'

const MOST = 1_000

function partOf (text: string | readonly unknown[], from = 0): Parameters<typeof piecesOf>[0] {
  return { before: '', inside: insideOf(text), isList: typeof text !== 'string', from, to: from + text.length }
}

for (const [what, text] of [
  ['a text', 'word '.repeat(1_000)],
  ['a text of escapes', '\u0000\n"'.repeat(500)],
  ['a text of many bytes', '漢😀'.repeat(500)],
  ['a list', Array.from({ length: 300 }, (_, n) => ({ n, text: '漢'.repeat(n) }))]
] as const) {
  t.test(`${what} is cut into pieces that follow each other, each small enough`, (t) => {
    const part = partOf(text, 7)
    const pieces = piecesOf(part, MOST)
    t.ok(pieces.length > 1)
    t.same(pieces.map(({ from }) => from), [7, ...pieces.slice(0, -1).map(({ to }) => to)])
    t.equal(pieces.at(-1)!.to, part.to)
    for (const { inside } of pieces) t.ok(Buffer.byteLength(inside) <= MOST)
    const inside = pieces.reduce((whole, piece) => joined(whole, piece.inside, part.isList), '')
    t.same(JSON.parse(part.isList ? `[${inside}]` : `"${inside}"`), text)
    t.end()
  })
}

t.test('what is small enough is one piece, and an item that is too large is refused with what to do', (t) => {
  const part = partOf('small')
  t.same(piecesOf(part, MOST), [{ inside: 'small', from: 0, to: 5 }])
  t.throws(() => piecesOf(partOf(['a', 'x'.repeat(MOST)]), MOST), { word: 'message_too_large', message: /max_payload/ })
  t.end()
})
