import { Type, type TSchema } from '@sinclair/typebox'
import t from 'tap'
import { compile } from '../../lib/protocol/validate.js'
import { BYTES, costOf, fill, MOST, nest } from '../helpers/cost.js'

const distinct = (unit: (index: number) => string): unknown[] => {
  const all: unknown[] = []
  for (let i = 0, bytes = 2; bytes + unit(i).length < BYTES; i++) {
    bytes += unit(i).length + 1
    all.push(JSON.parse(unit(i)))
  }
  return all
}
const names = (value: unknown): object => Object.fromEntries(distinct((i) => `"k${i}______"`).map((name) => [
  name as string,
  value
]))
const node = (kind: string): TSchema => Type.Recursive((This) => Type.Union([
  'a',
  'b',
  'c',
  'd'
].map((each) => Type.Object({ children: Type.Array(This), [kind]: Type.Literal(each) }))))
const alternatives = (count: number): TSchema[] => Array.from(
  { length: count },
  (_, i) => Type.Object({ [`p${i}`]: Type.String(), q: Type.Integer() })
)
const chain = Type.Module({
  A: Type.Object({ next: Type.Union([Type.Ref('A'), Type.Ref('B'), Type.Null()]), kind: Type.Literal('a') }),
  B: Type.Object({ next: Type.Union([Type.Ref('A'), Type.Ref('B'), Type.Null()]), kind: Type.Literal('b') })
})

const SHAPES: Record<string, [TSchema, unknown[]]> = {
  'a recursive union, its discriminator last': [
    node('kind'),
    [
      nest((x) => ({ kind: 'd', children: [x] }), { kind: 'd', children: [] }),
      nest((x) => ({ kind: 'd', children: [x] }), { kind: 'x', children: [] }),
      nest((x) => ({ kind: 'd', children: [x, x] }), { kind: 'x', children: [] }, 10)
    ]
  ],
  'a recursive union of tuples': [
    Type.Recursive((This) => Type.Union([
      Type.Tuple([This, Type.Literal('a')]),
      Type.Tuple([This, Type.Literal('b')]),
      Type.Null()
    ])),
    [nest((x) => [x, 'b'], null), nest((x) => [x, 'b'], 1)]
  ],
  'a recursive union without any discriminator': [
    Type.Recursive((This) => Type.Union([
      Type.Object({ a: This, b: Type.Object({ c: Type.String() }) }),
      Type.Object({ a: This, b: Type.Object({ c: Type.Number() }) }),
      Type.Null()
    ])),
    [nest((x) => ({ a: x, b: { c: 1 } }), null), nest((x) => ({ a: x, b: { c: 1 } }), 1)]
  ],
  'a recursive intersection': [
    Type.Recursive((This) => Type.Union([
      Type.Intersect([Type.Object({ a: Type.Optional(This) }), Type.Object({ a: Type.Optional(This) })]),
      Type.Null()
    ])),
    [nest((x) => ({ a: x }), null), nest((x) => ({ a: x }), 1)]
  ],
  'a recursive negation': [
    Type.Recursive((This) => Type.Union([Type.Object({ a: Type.Not(This) }), Type.Object({ a: This }), Type.Null()])),
    [nest((x) => ({ a: x }), null), nest((x) => ({ a: x }), 1)]
  ],
  'a recursive record': [
    Type.Recursive((This) => Type.Union([
      Type.Record(Type.String(), Type.Union([This, Type.Integer()])),
      Type.Record(Type.String(), Type.Union([This, Type.String()]))
    ])),
    [nest((x) => ({ a: x, b: 'c' }), {}), nest((x) => ({ a: x, b: 'c' }), true)]
  ],
  'a recursive array to contain itself': [
    Type.Recursive((This) => Type.Union([
      Type.Array(Type.Any(), { contains: This }),
      Type.Array(This, { minItems: 1 }),
      Type.Null()
    ])),
    [nest((x) => [x, 1], null), nest((x) => [1, x], 1)]
  ],
  'two definitions that refer to each other': [
    chain.Import('A'),
    [nest((next) => ({ kind: 'a', next }), null), nest((next) => ({ kind: 'a', next }), 1)]
  ],
  'unique items': [
    Type.Array(Type.Any(), { uniqueItems: true }),
    [
      distinct((i) => `${i}`),
      distinct((i) => `{"a":${i}}`),
      distinct((i) => `"${i}"`),
      fill({ a: 1 }),
      fill([[[]]]),
      ['x'.repeat(BYTES)]
    ]
  ],
  'unique items at each depth': [
    Type.Recursive((This) => Type.Union([Type.Array(This, { uniqueItems: true }), Type.Number()])),
    [nest((x) => [x], distinct((i) => `${i}`)), nest((x) => [x, [x]], 1, 8)]
  ],
  'items to be contained': [
    Type.Array(Type.Any(), { contains: Type.Object({ a: Type.Literal(1) }), minContains: 2 }),
    [fill({}), fill(1), fill({ a: 2 })]
  ],
  'some alternatives': [
    Type.Array(Type.Union(alternatives(30))),
    [fill({}), fill({ q: 1 }), fill({ p29: 'x', q: 1 }), [...fill({ p29: 'x', q: 1 }), 1]]
  ],
  'many alternatives with a discriminator': [
    Type.Array(Type.Union(Array.from(
      { length: 500 },
      (_, i) => Type.Object({ kind: Type.Literal(`k${i}`), q: Type.Integer() })
    ))),
    [fill({}), fill({ kind: 'k499', q: 1 }), fill({ kind: 'k499' })]
  ],
  'many words': [
    Type.Array(Type.Union(Array.from({ length: 2_000 }, (_, i) => Type.Literal(`v${i}`)))),
    [fill('v1999'), fill('x'), [...fill('v1'), 'x']]
  ],
  'strings of a pattern': [
    Type.Array(Type.String({ pattern: '^[a-z]+(?:-[a-z]+)*$', maxLength: 100 })),
    [fill('a'.repeat(100)), [...fill('a'), 'A'], fill(`${'a'.repeat(98)}!`)]
  ],
  'a quadratic pattern': [
    Type.Object({ v: Type.String({ pattern: '^[^\\s@]+@[^\\s@]+\\.[^\\s@]+$', maxLength: 254 }) }),
    [{ v: `a@${'.'.repeat(250)}@` }]
  ],
  'an exponential pattern on few characters': [
    Type.Object({ v: Type.String({ pattern: '^(a+)+$', maxLength: 16 }) }),
    [{ v: `${'a'.repeat(15)}!` }, { v: `${'a'.repeat(60_000)}!` }]
  ],
  'names of a pattern': [
    Type.Record(Type.RegExp(/^[a-z]+\d*_*$/), Type.Integer()),
    [names(1), { ['a'.repeat(BYTES)]: 1 }, { [`${'a'.repeat(BYTES)}!`]: 'x' }]
  ],
  'more strings of a pattern than there may be': [
    Type.Array(Type.String({ pattern: '^(?:(a+)+b|a*!)$', maxLength: 16 }), { maxItems: 10 }),
    [fill(`${'a'.repeat(15)}!`)]
  ],
  'more items than one may be among': [
    Type.Array(Type.Any(), { maxItems: 10, contains: Type.String({ pattern: '^(?:(a+)+b|a*!)$', maxLength: 16 }) }),
    [fill(`${'a'.repeat(15)}!`)]
  ],
  'many names': [Type.Record(Type.String(), Type.Integer()), [names(1), names('x')]],
  'names that are not known': [
    Type.Object(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`p${i}`, Type.Optional(Type.Integer())])), {
      additionalProperties: false
    }),
    [names(1)]
  ],
  'names that no part knows': [
    Type.Intersect(
      [Type.Object({ a: Type.Optional(Type.String()) }), Type.Object({ b: Type.Optional(Type.Number()) })],
      { unevaluatedProperties: false }
    ),
    [names(1)]
  ],
  'arrays within arrays': [
    Type.Recursive((This) => Type.Array(This)),
    [nest((x) => [x, ...(Array(2_000).fill([]) as unknown[])], [])]
  ],
  'a large wrong value at each depth': [
    Type.Recursive((This) => Type.Object({ next: Type.Optional(This), list: Type.Array(Type.Integer()) })),
    [nest((next) => ({ next, list: Array<number>(1_000).fill(1) }), { list: ['x'] })]
  ],
  ...Object.fromEntries([
    'uri', 'uri-reference', 'email', 'hostname', 'ipv6', 'duration', 'regex', 'date-time', 'json-pointer', 'byte',
    'uuid'
  ].map((format) => [`strings of the format ${format}`, [
    Type.Array(Type.Union([Type.String({ format }), Type.String()])),
    [
      ...['a', 'a@', 'a.', 'a-', ':', '1:', '1.', 'a:', '/', '~0', '%41', '(a*)', 'P1D', '=']
        .map((unit) => fill(`http://${unit.repeat(900)}^`)),
      ...['a', '1.', 'a-', '1:', '1D'].map((unit) => fill(`${unit.repeat(30)}!`))
    ]
  ] as [TSchema, unknown[]]])),
  'a string of the format url': [
    Type.Object({ v: Type.String({ format: 'url' }) }),
    ['a', 'a:', 'a@', 'a.', '1.', 'a-'].map((unit) => ({ v: `http://${unit.repeat(500)} ` }))
  ]
}

for (const [name, [schema, values]] of Object.entries(SHAPES)) {
  t.test(`no message costs more than a moment to check, or to say what is wrong with it: ${name}`, async (t) => {
    const checker = compile(schema)
    for (const value of values) {
      t.ok(JSON.stringify(value).length < 4 * BYTES)
      const { fits, found, checked, listed } = costOf(checker, value)
      const text = JSON.stringify(value)
      t.comment(`${checked.toFixed(1)} ms, violations ${listed.toFixed(1)} ms: ${text.slice(0, 60)}`)
      t.ok(checked < MOST, text.slice(0, 60))
      t.ok(listed < MOST, text.slice(0, 60))
      t.ok(fits || (found.length > 0 && found.length <= 5))
    }
  })
}

t.test(
  'a union whose alternatives would all be tried for each part of a message is refused, with what tells them apart',
  async (t) => {
    t.throws(() => compile(Type.Array(Type.Union(alternatives(100)))), {
      message: /^\/items has 100 alternatives .*Type\.Literal/
    })
    t.doesNotThrow(() => compile(Type.Union(alternatives(100))), 'once in a message')
    t.doesNotThrow(() => compile(Type.Array(Type.Union(alternatives(100)), { maxItems: 1_000 })))
  }
)

t.test('what is tried on no item hides nothing from what follows', async (t) => {
  const list = Type.Array(Type.Array(Type.String({ pattern: '^a', maxLength: 5 }), { maxItems: 0 }))
  const slow = Type.String({ pattern: '^(a+)+$', maxLength: 100 })
  t.throws(() => compile(Type.Object({ list, slow })), { message: /^\/properties\/slow: .* steps/ })
})
