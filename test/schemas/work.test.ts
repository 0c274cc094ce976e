import t from 'tap'
import Type1 from 'typebox'
import { validatorOf } from '../../lib/protocol/any-schema.js'
import type { Checker } from '../../lib/protocol/checker.js'
import { BYTES, costOf, fill, MOST, nest } from '../helpers/cost.js'
import { matchList } from '../helpers/match-list.js'

const self = { $ref: '#' }
const either = (...anyOf: object[]): object => ({ anyOf })
const having = (properties: Record<string, object>, more: object = {}): object =>
  ({ type: 'object', properties, required: Object.keys(properties), ...more })

const SHAPES: Record<string, [schema: object, values: unknown[]]> = {
  'a recursive union without a discriminator': [
    either(having({ a: self, b: { type: 'string' } }), having({ a: self, b: { type: 'number' } }), { type: 'null' }),
    [nest((a) => ({ a, b: 1 }), null), nest((a) => ({ a, b: 1 }), 1)]
  ],
  'a recursive intersection': [
    either({ allOf: [having({ a: self }), having({ a: self })] }, { type: 'null' }),
    [nest((a) => ({ a }), null), nest((a) => ({ a }), 1)]
  ],
  'a recursive condition': [
    {
      type: ['object', 'null'],
      properties: { a: self },
      if: having({ a: self }),
      then: having({ a: self }),
      else: true
    },
    [nest((a) => ({ a }), null), nest((a) => ({ a }), 1)]
  ],
  'a recursive negation': [
    either(having({ a: { not: self } }), having({ a: self }), { type: 'null' }),
    [nest((a) => ({ a }), null), nest((a) => ({ a }), 1)]
  ],
  'unique items': [
    { type: 'array', uniqueItems: true },
    [Array.from({ length: 7_000 }, (_, a) => ({ a })), Array.from({ length: 10_000 }, (_, i) => i), fill({ a: 1 })]
  ],
  'some alternatives': [
    { type: 'array', items: either(...Array.from({ length: 30 }, (_, i) => having({ [`p${i}`]: { type: 'string' } }))) },
    [fill({}), fill({ p29: 'x' }), [...fill({ p29: 'x' }), 1]]
  ],
  'many alternatives with a discriminator': [
    {
      type: 'array',
      items: either(...Array.from({ length: 500 }, (_, i) =>
        having({ q: { type: 'integer' }, kind: { const: `k${i}` } })))
    },
    [fill({}), fill({ kind: 'k499', q: 1 }), fill({ kind: 'k499' })]
  ],
  'many words': [
    { type: 'array', items: { enum: Array.from({ length: 2_000 }, (_, i) => `v${i}`) } },
    [fill('v1999'), fill('x')]
  ],
  'a pattern on many strings': [
    { type: 'array', items: { type: 'string', pattern: '^[a-z]+(?:-[a-z]+)*$', maxLength: 100 } },
    [fill('a'.repeat(100)), fill(`${'a'.repeat(98)}!`)]
  ],
  'an exponential pattern on few characters': [
    having({ v: { type: 'string', pattern: '^(a+)+$', maxLength: 12 } }),
    [{ v: `${'a'.repeat(11)}!` }, { v: `${'a'.repeat(24)}!` }, { v: `${'a'.repeat(60_000)}!` }]
  ],
  'names of a pattern': [
    { type: 'object', patternProperties: { '^[a-z]+[0-9]*_*$': { type: 'integer' } }, additionalProperties: false },
    [{ [`${'a'.repeat(BYTES)}!`]: 'x' }, Object.fromEntries(Array.from({ length: 6_000 }, (_, i) => [`k${i}`, 1]))]
  ],
  'more strings of a pattern than there may be': [
    { type: 'array', maxItems: 10, items: { type: 'string', pattern: '^(?:(a+)+b|a*!)$', maxLength: 16 } },
    [fill(`${'a'.repeat(15)}!`)]
  ],
  'more items than one may be among': [
    { type: 'array', maxItems: 10, contains: { type: 'string', pattern: '^(a+)+$', maxLength: 16 } },
    [fill(`${'a'.repeat(15)}!`)]
  ],
  'a text of a format': [
    { type: 'array', items: { type: 'string', format: 'uri' } },
    [fill(`http://${'1.'.repeat(900)}^`), fill(`http://${'a@'.repeat(900)}^`)]
  ]
}

for (const [name, [schema, values]] of Object.entries(SHAPES)) {
  for (const [family, own] of [['JSON Schema', schema], ['typebox 1.x', Type1.Unsafe(schema)]] as const) {
    t.test(`${family}: no message costs more than a moment to check, or to say what is wrong: ${name}`, async (t) => {
      const checker = validatorOf(own) as Checker
      for (const value of values) {
        const { fits, found, checked, listed } = costOf(checker, value)
        const text = JSON.stringify(value).slice(0, 60)
        t.comment(`${checked.toFixed(1)} ms, violations ${listed.toFixed(1)} ms: ${text}`)
        t.ok(checked < MOST && listed < MOST, text)
        t.ok(fits || (found.length > 0 && found.length <= 5), text)
      }
    })
  }
}

t.test('in a long array of few enough items it is told which of them do not fit, and why', async (t) => {
  const items = having({ name: { type: 'string', pattern: '^a', maxLength: 10 }, n: { type: 'integer' } })
  const list = Array.from({ length: 3_000 }, (_, i) => ({ name: i === 8 ? 'b' : 'a', n: i === 2_999 ? 'x' : 1 }))
  const { check, violations } = validatorOf(Type1.Unsafe({ type: 'array', maxItems: 5_000, items })) as Checker
  t.equal(check(list), false)
  matchList(t, violations(list), [{ path: '/8/name', message: /pattern/ }, { path: '/2999/n', message: /integer/ }])
})

for (const family of ['JSON Schema', 'typebox 1.x'] as const) {
  t.test(`${family}: what has no bound is refused wherever it stands`, async (t) => {
    const bad = { type: 'string', pattern: '^(a+)+$', maxLength: 100 }
    for (const each of [
      bad,
      having({ v: bad }),
      { type: 'object', additionalProperties: bad },
      { type: 'object', propertyNames: bad },
      { type: 'object', patternProperties: { '^(a+)+$': {} } },
      { type: 'object', dependentSchemas: { a: having({ v: bad }) } },
      { type: 'array', items: bad },
      { type: 'array', prefixItems: [bad] },
      { type: 'array', contains: bad },
      { not: bad },
      { oneOf: [bad] },
      { allOf: [bad] },
      { if: bad, then: true },
      { $ref: '#/$defs/v', $defs: { v: bad } },
      { type: 'string', $defs: { unused: { type: 'string', pattern: '^a' } } },
      // What is tried on no item, or never, hides nothing from what follows.
      having({ a: { type: 'array', items: { type: 'array', maxItems: 0, items: { ...bad, maxLength: 5 } } }, v: bad }),
      { $defs: { unused: { ...bad, maxLength: 60_000 } }, ...having({ v: bad }) },
      { type: 'array', items: either(...Array.from({ length: 100 }, (_, i) => having({ [`p${i}`]: {} }))) }
    ]) {
      const own = family === 'JSON Schema' ? each : Type1.Unsafe(each)
      t.throws(() => validatorOf(own), /steps|alternatives|no maxLength/, JSON.stringify(each))
    }
  })
}
