import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { decodeCursor, encodeCursor, formerOf, hashRooms, isConnectionId, type CursorEntry } from '../../lib/protocol/cursor.js'

const CONNECTION = 'AAAAAAAAAAAAAAAAAAAAAA'
const base64url = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const ofChars = (length: number): fc.Arbitrary<string> => fc.string({
  unit: fc.constantFrom(...base64url),
  minLength: length,
  maxLength: length
})
const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const entry = fc.record({
  position: fc.record({ epoch: ofChars(8), offset: number }, { noNullPrototype: true }),
  presence: number,
  version: number,
  grown: number,
  lengths: fc.uniqueArray(fc.tuple(number, number), { minLength: 1, maxLength: 4, selector: ([begun]) => begun })
    .map((each) => new Map(each))
}, { requiredKeys: [], noNullPrototype: true }).map((each) => {
  // What it has of single texts stands behind how far it is with all of them.
  if (each.grown === undefined) delete each.lengths
  return each
}) as fc.Arbitrary<CursorEntry>
const anyEntry = fc.oneof({ weight: 9, arbitrary: entry }, { weight: 1, arbitrary: fc.constant({ isOut: true }) })
const rooms = fc.uniqueArray(
  fc.string({ unit: fc.constantFrom('a', 'b', '/', '%20', '@'), minLength: 1, maxLength: 20 }),
  { maxLength: 32 }
)

t.test(
  'a cursor read back is what was written, for any positions, with and without presence and version',
  async (t) => {
    const positions = rooms.chain((names) => fc.tuple(
      fc.constant(names),
      fc.array(anyEntry, { minLength: names.length, maxLength: names.length })
    ))
    t.doesNotThrow(() => fc.assert(fc.property(ofChars(22), positions, (connection, [names, entries]) => {
      const text = encodeCursor(connection, hashRooms(names), entries)
      assert.match(text, /^[A-Za-z0-9_-]+$/)
      assert.deepEqual(decodeCursor(text, names), { connection, entries })
    }), { numRuns: 200 }))
  }
)

t.test('a cursor of 32 rooms is one that is read back', async (t) => {
  const names = Array.from({ length: 32 }, (_, i) => `chat/${i}`)
  const entries = names.map(() => ({
    position: { epoch: 'abcdefgh', offset: Number.MAX_SAFE_INTEGER },
    presence: Number.MAX_SAFE_INTEGER,
    version: Number.MAX_SAFE_INTEGER,
    grown: Number.MAX_SAFE_INTEGER,
    lengths: new Map([1, 2, 3, 4].map((n) => [Number.MAX_SAFE_INTEGER - n, Number.MAX_SAFE_INTEGER]))
  }))
  t.same(decodeCursor(encodeCursor(CONNECTION, hashRooms(names), entries), names)?.entries, entries)
})

t.test('the hash of a list of rooms is that of earlier versions, also of names beyond the basic plane', async (t) => {
  t.equal(hashRooms(['chat/7']), '801a8921')
  t.equal(hashRooms(['chat/1', 'a/\u{1f600}b']), 'f8e0a24a')
  t.equal(hashRooms(['x/\ud83dz']), '822a8c7f', 'half a character')
})

t.test('another list of rooms, another order or another number is another cursor', async (t) => {
  const text = encodeCursor(CONNECTION, hashRooms(['a', 'b']), [{}, {}])
  t.ok(decodeCursor(text, ['a', 'b']))
  for (const names of [['b', 'a'], ['a'], ['a', 'b', 'c'], ['a b'], []]) {
    t.equal(decodeCursor(text, names), undefined, names.join(' '))
  }
})

t.test('what is malformed is no cursor, and never an exception', async (t) => {
  const hash = hashRooms(['a'])
  const text = (plain: string): string => Buffer.from(plain, 'latin1').toString('base64url')
  t.ok(decodeCursor(text(`1.${CONNECTION}.${hash}.abcdefgh:0`), ['a']), 'the frame of the cases below')
  for (const bad of [
    '', '!', 'a b', 'x'.repeat(8_193), '%00', text(''), text('1'), text(`1.${CONNECTION}`),
    text(`2.${CONNECTION}.${hash}.-`), text(`1.short.${hash}.-`), text(`1.${CONNECTION}.00000000.-`),
    text(`1.${CONNECTION}.${hash}`), text(`1.${CONNECTION}.${hash}.-.-`), text(`1.${CONNECTION}.${hash}.`),
    ...[
      'abcdefgh', 'abcdefgh:', 'abcdefg:0', 'abcdefgh:-1', 'abcdefgh:1.5', 'abcdefgh:zzzzzzzzzzz',
      'abcdefgh:zzzzzzzzzzzz', 'abcdefgh:0:0:0:0:0', '-:0:0:0:0', 'abcdefgh:0:0:0::1-1', 'abcdefgh:0:0:0:0:1-1-1', 'abcdefgh:0:0:0:0:1-',
      '-:0:0:0:1-1:2-1:3-1:4-1:5-1', 'abcdefgh:0:0:0:!', 'abcdefgh:0:!:0', 'abcdefgh:0:0:!', 'abc\u0000efgh:0',
      '__proto__:0'
    ].map((position) => text(`1.${CONNECTION}.${hash}.${position}`))
  ]) t.equal(decodeCursor(bad, ['a']), undefined, Buffer.from(bad, 'base64url').toString('latin1'))
  t.doesNotThrow(() => fc.assert(fc.property(fc.string(), (any) => {
    for (const each of [any, text(any), text(`1.${CONNECTION}.${hash}.${any}`)]) decodeCursor(each, ['a'])
  })))
})

t.test('connection ids are 22 characters of base64url and nothing else', async (t) => {
  t.equal(isConnectionId(CONNECTION), true)
  for (const bad of [
    undefined, 7, {}, '', 'A'.repeat(21), 'A'.repeat(23), `${'A'.repeat(21)}=`, `${'A'.repeat(21)}\n`, [CONNECTION]
  ]) {
    t.equal(isConnectionId(bad), false, JSON.stringify(bad))
  }
})

t.test('former connections are remembered, the last 32, also where a cursor and a URL name the newest', async (t) => {
  const ids = Array.from({ length: 40 }, (_, index) => String(index).padStart(22, 'a'))
  const [first, ...others] = ids
  t.equal(formerOf(first, ids.join()), ids.slice(0, 32).join())
  t.equal(formerOf(first, others.join()), ids.slice(0, 32).join())
  t.equal(formerOf(undefined, 'no id', 4), undefined)
})
