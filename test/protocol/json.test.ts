import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { parseCommand, RESERVED_TYPES } from '../../lib/protocol/frames.js'
import { isDeeperThan, parseJson } from '../../lib/protocol/json.js'

const nested = (depth: number, open: string, close: string): string => open.repeat(depth) + close.repeat(depth)

for (const depth of [33, 64, 100, 1_000, 4_180, 8_192, 32_768]) {
  t.test(`JSON nested ${depth} deep is refused before anything recurses`, async (t) => {
    for (const text of [
      nested(depth, '[', ']'),
      '['.repeat(depth),
      '{"a":'.repeat(depth) + '1' + '}'.repeat(depth),
      `{"a":"]]]]}}}}","b":${nested(depth, '[', ']')}}`
    ]) {
      t.throws(() => parseJson(text), { message: 'nested deeper than 32 levels' })
    }
  })
}

t.test('32 levels are allowed, and brackets in strings are no levels', async (t) => {
  t.doesNotThrow(() => parseJson(nested(32, '[', ']')))
  t.same(parseJson(`"${'['.repeat(500)}"`), '['.repeat(500))
  t.same(parseJson(`["\\"${'['.repeat(100)}","\\\\"]`), [`"${'['.repeat(100)}`, '\\'])
})

t.test('the depth that is looked at is the depth that JSON has', async (t) => {
  const depthOf = (value: unknown): number => typeof value === 'object' && value !== null
    ? 1 + Math.max(0, ...Object.values(value).map(depthOf))
    : 0
  t.doesNotThrow(() => fc.assert(fc.property(fc.jsonValue({
    maxDepth: 6
  }), fc.integer({ min: 0, max: 8 }), (value, limit) => {
    const text = JSON.stringify(value)
    // A text shorter than the limit cannot nest deeper, whatever is in it.
    if (text.length > limit) assert.equal(isDeeperThan(text, limit), depthOf(value) > limit)
  }), { numRuns: 300 }))
})

for (const text of [
  '{"__proto__":{"a":1}}', '{"a":{"b":{"c":{"d":{"__proto__":null}}}}}', '[{"__proto__":[]}]', '{"\\u005f_proto__":1}', '{"\\u005F\\u005Fproto\\u005f_":1}',
  '{"constructor":{"prototype":{"a":1}}}', '{"a":[{"constructor":{"prototype":1}}]}'
]) {
  t.test(`${text} is refused, and no prototype has changed`, async (t) => {
    t.throws(() => parseJson(text))
    t.equal(({} as { a?: unknown }).a, undefined)
  })
}

t.test('odd texts have defined answers', async (t) => {
  for (const text of [
    '', ' ', '\ufeff', 'undefined', 'NaN', '{a:1}', "{'a':1}", '[1,]', '"\u0001"', '01', '{"a":1}x'
  ]) {
    t.throws(() => parseJson(text), JSON.stringify(text))
  }
  t.same(parseJson('{"a":1,"a":2}'), { a: 2 }, 'of duplicate keys the last wins')
  t.equal(parseJson('1e999'), Number.POSITIVE_INFINITY)
  t.equal(parseJson('"\\ud800"'), '\ud800')
  t.same(parseJson('{"constructor":1,"prototype":2}'), { constructor: 1, prototype: 2 }, 'a key alone is harmless')
})

t.test('whatever JSON a peer sends is a command or a fault, never an exception', async (t) => {
  const type = fc.oneof(fc.constantFrom(...RESERVED_TYPES, 'say', '__proto__', 'toString'), fc.jsonValue())
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.record(
      {
        type,
        room: fc.oneof(fc.string(), fc.jsonValue()),
        id: fc.oneof(fc.string(), fc.jsonValue()),
        data: fc.oneof(
          fc.jsonValue(),
          fc.record(
            {
              since: fc.jsonValue(),
              last: fc.jsonValue(),
              limit: fc.jsonValue(),
              ticket: fc.jsonValue(),
              connection: fc.jsonValue()
            },
            { requiredKeys: [] }
          )
        )
      },
      { requiredKeys: ['type'] }
    )
  )
  t.doesNotThrow(() => fc.assert(fc.property(value, (json) => {
    const command = parseCommand(json)
    assert.ok('fault' in command || typeof command.type === 'string')
  }), { numRuns: 1_000 }))
})

for (const [json, command] of [
  [
    {
      type: 'join',
      room: 'a',
      id: 'x',
      data: { since: { epoch: 'abcdefgh', offset: 3, evil: 1 }, last: 5, connection: 'c' },
      extra: 1
    },
    { type: 'join', room: 'a', id: 'x', since: { epoch: 'abcdefgh', offset: 3 }, last: 5, connection: 'c' }
  ],
  [{ type: 'join', room: 'a' }, { type: 'join', room: 'a' }],
  [{ type: 'leave', room: 'a', id: 'x' }, { type: 'leave', room: 'a', id: 'x' }],
  [{ type: 'members', room: 'a' }, { type: 'members', room: 'a' }],
  [
    { type: 'history', room: 'a', data: { since: { epoch: 'abcdefgh', offset: 0 }, limit: 5 } },
    { type: 'history', room: 'a', since: { epoch: 'abcdefgh', offset: 0 }, limit: 5 }
  ],
  [{ type: 'ping' }, { type: 'ping' }],
  [{ type: 'pong', id: '1' }, { type: 'pong', id: '1' }],
  [{ type: 'ack', id: '1' }, { type: 'ack', id: '1' }],
  [{ type: 'auth', data: { ticket: 't' } }, { type: 'auth', ticket: 't' }],
  [{ type: 'say', room: 'a', id: 'x', data: null }, { type: 'message', name: 'say', room: 'a', id: 'x', data: null }]
] as const) {
  t.test(`${JSON.stringify(json)} is read as a command, and nothing else of it is kept`, async (t) => {
    t.strictSame(parseCommand(json), command)
  })
}

for (const [json, fault] of [
  [null, /JSON object/],
  [[], /JSON object/],
  ['x', /JSON object/],
  [{}, /type must be/],
  [{ type: '' }, /type must be/],
  [{ type: 'say' }, /say needs a room/],
  [{ type: 'say', room: 7 }, /room must be a string/],
  [{ type: 'say', room: 'a', id: '' }, /id must be/],
  [{ type: 'say', room: 'a', id: 'x'.repeat(129) }, /id must be/],
  [{ type: 'ack' }, /ack needs the id/],
  [{ type: 'auth' }, /auth needs data\.ticket/],
  [{ type: 'auth', data: { ticket: '' } }, /auth needs/],
  [{ type: 'welcome', room: 'a' }, /frame of the server/],
  [{ type: 'join', room: 'a', data: 7 }, /data must be an object/],
  [{ type: 'join', room: 'a', data: { last: -1 } }, /data\.last/],
  [{ type: 'join', room: 'a', data: { connection: 1 } }, /data\.connection/],
  [{ type: 'join', room: 'a', data: { since: { epoch: 'abc', offset: 1 } } }, /data\.since/],
  [{ type: 'join', room: 'a', data: { since: { epoch: ['abcdefgh'], offset: 1 } } }, /data\.since/],
  [{ type: 'history', room: 'a', data: { limit: 1.5 } }, /data\.limit/]
] as const) {
  t.test(`${JSON.stringify(json)?.slice(0, 60)} is a fault that says what is wrong`, async (t) => {
    t.match((parseCommand(json) as { fault: string }).fault, fault)
  })
}

t.test(
  'a fault keeps the id and room that could be read, so that its sender can tell which frame it was',
  async (t) => {
    t.match(parseCommand({ type: 'join', room: 'a', id: 'x', data: 7 }), { id: 'x', room: 'a' })
  }
)
