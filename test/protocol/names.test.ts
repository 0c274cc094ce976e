import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { defineRoom } from '../../lib/contract/define-room.js'
import { isRoomName, matchPattern, parsePattern, patternFault } from '../../lib/contract/names.js'

for (const name of [
  'chat', 'chat/42', '@all', '@user/a%40b', 'a/b/c', 'A-Z.a_z~0:9+8=7', 'chat/%F0%9F%9A%80', 'chat/a%2Fb', "chat/!*'()",
  'x'.repeat(255), '__proto__', '...', '.a'
]) {
  t.test(`"${name.slice(0, 40)}" can be the name of a room`, async (t) => { t.equal(isRoomName(name), true) })
}

for (const [what, name] of [
  ['the empty name', ''],
  ['a leading slash', '/chat'],
  ['a trailing slash', 'chat/'],
  ['a doubled slash', 'chat//1'],
  ['a dot', '.'],
  ['two dots', 'chat/..'],
  ['dots in the middle', 'a/./b'],
  ['256 bytes', 'x'.repeat(256)],
  ['a raw space', 'chat/a b'],
  ['a raw emoji', 'chat/\u{1F680}'],
  ['a raw umlaut', 'chat/ü'],
  ['an escaped NUL', 'chat/%00'],
  ['an escaped line break', 'chat/%0A'],
  ['an escaped DEL', 'chat/%7F'],
  ['a raw NUL', 'chat/\0'],
  ['a raw line break at the end', 'chat/1\n'],
  ['half an escape', 'chat/%4'],
  ['no escape', 'chat/%zz'],
  ['invalid UTF-8', 'chat/%FF'],
  ['an escape of what needs none', 'chat/%41'],
  ['lower-case escapes', 'chat/a%2fb'],
  ['overlong dots', 'chat/%2E%2E'],
  ['a query', 'chat?x'],
  ['a fragment', 'chat#x'],
  ['a backslash', 'chat\\1'],
  ['a wildcard', 'chat/a,b'],
  ['a pipe', 'a|b']
] as const) {
  t.test(`${what} is no room name`, async (t) => { t.equal(isRoomName(name), false) })
}

t.test('any string is a param: at() encodes it, the name is valid, and the handler gets it back', async (t) => {
  const chat = defineRoom('chat/:id/x/:other', {})
  const pattern = parsePattern('chat/:id/x/:other')
  let tried = 0
  t.doesNotThrow(() => fc.assert(fc.property(fc.string({
    unit: 'grapheme',
    minLength: 1,
    maxLength: 8
  }), fc.string({ minLength: 1, maxLength: 8 }), (id, other) => {
    let name: string
    try {
      ({ name } = chat.at({ id, other }))
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'REALTIME_ERR_PARAM')
      return
    }
    tried++
    assert.ok(isRoomName(name), name)
    assert.deepEqual(matchPattern(pattern, name), { id, other })
  }), { numRuns: 300 }))
  t.ok(tried > 200)
})

t.test('one room has one name: two names with the same params are the same name', async (t) => {
  const pattern = parsePattern(':id')
  t.doesNotThrow(() => fc.assert(fc.property(fc.string({
    unit: fc.constantFrom('a', '%', '2', 'F', 'f', '4', '1', 'E', 'C', '3', 'B', '.', '~', '!'),
    minLength: 1,
    maxLength: 9
  }), (name) => {
    const params = isRoomName(name) ? matchPattern(pattern, name) : undefined
    if (params !== undefined) assert.equal(encodeURIComponent(params.id!), name)
  }), { numRuns: 2_000 }))
})

t.test('a static segment matches itself only, a param one whole segment', async (t) => {
  const pattern = parsePattern('chat/:id')
  t.same(matchPattern(pattern, 'chat/42'), { id: '42' })
  for (const name of ['Chat/42', 'chat', 'chat/4/2', 'chat42', 'chat/']) {
    t.equal(matchPattern(pattern, name), undefined, name)
  }
  t.same(matchPattern(parsePattern(':a/:b'), '__proto__/constructor'), { a: '__proto__', b: 'constructor' })
})

for (const [source, fault] of [
  ['', /non-empty string/],
  ['/chat', /^a slash too many in "\/chat"$/],
  ['chat/', /^a slash too many in "chat\/"$/],
  ['a//b', /^a slash too many in "a\/\/b"$/],
  ['a/..', /"\.\." in .* no segment/],
  ['.', /"\." in .* no segment/],
  ['chat/:', /":.*" in .* no segment/],
  ['chat/:1', /":.*" in .* no segment/],
  ['chat/:a-b', /":.*" in .* no segment/],
  [':id/:id', /":id" in .* stands once/],
  ['chat room', /no segment: \/\^:/],
  ['chät', /no segment: \/\^:/],
  ['a*', /no segment: \/\^:/],
  ['x'.repeat(256), /at most 255/],
  [7, /non-empty string/]
] as const) {
  t.test(`the pattern ${JSON.stringify(source).slice(0, 20)} is refused with the reason`, async (t) => {
    t.match(patternFault(source as string), fault)
    t.throws(() => defineRoom(source as string, {}), { code: 'REALTIME_ERR_PATTERN', message: fault })
  })
}

t.test('at() refuses what could not be decoded again, and says which param', async (t) => {
  const chat = defineRoom('chat/:id', {})
  for (const [what, params, message] of [
    ['nothing', undefined, /:id .* non-empty string/],
    ['a number', { id: 7 }, /:id.*got 7/],
    ['an empty string', { id: '' }, /:id/],
    ['dots', { id: '..' }, /not "\." or "\.\."/],
    ['a line break', { id: 'a\nb' }, /control character/],
    ['half a pair', { id: '\ud800' }, /surrogate/],
    ['too much', { id: 'ü'.repeat(60) }, /365 bytes, at most 255/]
  ] as const) t.throws(() => chat.at(params as never), { code: 'REALTIME_ERR_PARAM', message }, what)
})

t.test('a definition without params is its own address', async (t) => {
  const board = defineRoom('board', {})
  t.equal(board.at().name, 'board')
  t.ok(Object.isFrozen(board))
  t.ok(Object.isFrozen(board.at()))
})
