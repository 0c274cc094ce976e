import { Type } from '@sinclair/typebox'
import t from 'tap'
import { explain } from '../../lib/errors/explain.js'

const closed = { additionalProperties: false }
const rules = Type.Object({
  compression: Type.Optional(Type.Union([
    Type.Literal(false),
    Type.Object({ threshold: Type.Optional(Type.Integer()) }, closed)
  ])),
  when: Type.Optional(Type.Union([Type.Literal('admit'), Type.Literal('refuse')])),
  url: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
  limits: Type.Optional(Type.Object({ rate: Type.Optional(Type.Integer({ minimum: 1 })) }, closed))
}, closed)

const CASES: ReadonlyArray<readonly [unknown, string]> = [
  [{ compression: true }, 'options.compression: expected false or { threshold }, got true'],
  [{ compression: [] }, 'options.compression: expected false or { threshold }, got []'],
  [{ compression: { treshold: 1 } }, 'options.compression.treshold is no option; did you mean "threshold"?'],
  [{ compression: { threshold: 'x' } }, 'options.compression.threshold: expected integer, got "x"'],
  [{ when: 'admits' }, 'options.when: expected "admit" or "refuse", got "admits"'],
  [{ url: 5 }, 'options.url: expected string or an array of string, got 5'],
  [{ limits: { rate: 0 } }, 'options.limits.rate: expected integer to be greater or equal to 1, got 0'],
  [{ limits: { rate: Number.POSITIVE_INFINITY } }, 'options.limits.rate: expected integer, got Infinity'],
  [{ limit: {} }, 'options.limit is no option; did you mean "limits"?'],
  [5, 'options: expected object, got 5']
]

for (const [value, words] of CASES) {
  t.test(`${JSON.stringify(value)} is told as: ${words}`, async (t) => {
    t.equal(explain(rules, value, 'options'), words)
  })
}

t.test('a value that makes no JSON, or a long one, is told of like any other', async (t) => {
  const circular: Record<string, unknown> = {}
  circular.self = circular
  for (const [value, words] of [
    [5n, 'expected integer, got 5n'],
    [Symbol('x'), 'expected integer, got Symbol(x)'],
    [circular, 'expected integer, got an object that makes no JSON'],
    [new Map(), 'expected integer, got an instance of Map'],
    [Object.create(null), 'expected integer, got {}'],
    ['x'.repeat(1_000), `expected integer, got "${'x'.repeat(199)}...`]
  ] as const) t.equal(explain(rules, { limits: { rate: value } }, 'options'), `options.limits.rate: ${words}`)
})

t.test('what fits is told nothing of', async (t) => {
  t.equal(explain(rules, { compression: { threshold: 5 }, url: ['a'], when: 'admit' }, 'options'), undefined)
})
