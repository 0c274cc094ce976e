import { FormatRegistry, Kind, Type, TypeRegistry, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import Fastify from 'fastify'
import t from 'tap'
import realtime, { defineRoom } from '../../lib/index.js'
import { compile } from '../../lib/protocol/validate.js'
import { used } from '../helpers/cost.js'
import { matchList } from '../helpers/match-list.js'

const BAD = '^(a+)+$'
const bomb = `${'a'.repeat(26)}!`
const long = Type.String({ pattern: BAD, maxLength: 100 })

/** Wherever a schema can hold an expression. */
const PLACES: Record<string, TSchema> = {
  'a pattern': long,
  'a pattern without maxLength': Type.String({ pattern: BAD }),
  'an expression': Type.RegExp(/^(a+)+$/, { maxLength: 100 }),
  'an expression without maxLength': Type.RegExp(/^(a+)+$/),
  'an expression with flags': Type.RegExp(/^(a|A)+$/i, { maxLength: 100 }),
  'a template': Type.TemplateLiteral(
    [Type.Literal('a'), Type.Union([Type.Literal('b'), Type.String()]), Type.String(), Type.String()],
    { maxLength: 5_000 }
  ),
  'a template without maxLength': Type.TemplateLiteral('a${string}'), // eslint-disable-line no-template-curly-in-string
  'a property': Type.Object({ v: long }),
  'an optional property': Type.Object({ v: Type.Optional(long) }),
  'further properties': Type.Object({}, { additionalProperties: long }),
  'an item': Type.Array(long),
  'an item to be contained': Type.Array(Type.Any(), { contains: long }),
  'an item of a tuple': Type.Tuple([Type.Null(), long]),
  'an alternative': Type.Union([Type.Null(), long]),
  'a part of an intersection': Type.Intersect([Type.Object({}), Type.Object({ v: long })]),
  'what is left of an intersection': Type.Intersect([Type.Object({}), Type.Object({})], {
    unevaluatedProperties: long
  }),
  'what must not be': Type.Not(long),
  'a value of a record': Type.Record(Type.String(), long),
  'a name in a record': Type.Record(Type.RegExp(/^(a+)+$/), Type.Any()),
  'a name in a record, by a pattern': Type.Record(Type.String({ pattern: BAD, maxLength: 100 }), Type.Any()),
  'a recursive part': Type.Recursive((This) => Type.Object({ v: long, next: Type.Optional(This) })),
  'a part of a module': Type.Module({ A: Type.Object({ b: Type.Ref('B') }), B: Type.Object({ v: long }) }).Import('A'),
  'a partial object': Type.Partial(Type.Object({ v: long })),
  'a keyword that TypeBox leaves alone': Type.Object({}, {
    if: { properties: { v: { type: 'string', pattern: BAD, maxLength: 100 } } }
  }),
  'a definition that nothing refers to': Type.Object({}, { $defs: { v: { type: 'string', pattern: BAD } } }),
  'names in a keyword that TypeBox leaves alone': Type.Object({}, { patternProperties: { [BAD]: { type: 'string' } } }),
  'an array of what is quadratic': Type.Array(Type.String({ pattern: '^.+@.+$', maxLength: 200 })),
  'a long string of what is quadratic': Type.String({ pattern: '^.+@.+$', maxLength: 5_000 }),
  'an expression that is none': Type.String({ pattern: '(', maxLength: 10 })
}

for (const [place, schema] of Object.entries(PLACES)) {
  t.test(`an expression that may take too long is refused at declaration: ${place}`, async (t) => {
    t.throws(() => compile(schema), { message: /maxLength|steps|proved|Invalid regular expression/ })
  })
}

const SLOTS: Record<string, (schema: TSchema) => { contract: object, options: object }> = {
  'message "m" of "r/:id"': (schema) => ({ contract: { messages: { m: schema } }, options: { on: { m () {} } } }),
  'reply of "m" of "r/:id"': (schema) => ({
    contract: { messages: { m: { data: Type.Null(), reply: schema } } },
    options: { on: { m () {} } }
  }),
  'event "e" of "r/:id"': (schema) => ({ contract: { events: { e: schema } }, options: {} }),
  'member of "r/:id"': (schema) => ({ contract: { member: schema }, options: { presence: () => ({}) } }),
  'params of "r/:id"': (schema) => ({ contract: { params: Type.Object({ id: schema }) }, options: {} })
}

for (const [slot, declared] of Object.entries(SLOTS)) {
  t.test(`each schema of a contract is looked into, and the error says which: ${slot}`, async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(realtime, { jwt: { secret: 'x' } })
    const { contract, options } = declared(Type.String({ pattern: BAD }))
    t.throws(() => app.room(defineRoom('r/:id', contract) as never, options as never), {
      code: 'REALTIME_ERR_SCHEMA',
      message: new RegExp(`^${slot}: .*add maxLength`)
    })
  })
}

t.test(
  'a bounded expression runs only behind the length of its string, in the check and in the list of violations',
  async (t) => {
    const schemas = [
      Type.String({ pattern: BAD, maxLength: 12 }),
      Type.RegExp(/^(a+)+$/, { maxLength: 12 }),
      Type.Object({ v: Type.Union([Type.String({ pattern: BAD, maxLength: 12 }), Type.Null()]) }),
      Type.Not(Type.String({ pattern: BAD, maxLength: 12 }))
    ]
    for (const schema of schemas) {
      const { check, violations } = compile(schema)
      const start = used()
      for (const value of [bomb, `${'a'.repeat(1_000)}!`, { v: `${'a'.repeat(64)}!` }]) {
        if (!check(value)) violations(value)
      }
      t.ok(used() - start < 1_000)
    }
    t.equal(compile(schemas[0]!).check('aaaa'), true)
    matchList(t, compile(schemas[0]!).violations('b'), [{ path: '', message: /match/ }])
  }
)

t.test('an expression with the flag g or y answers the same each time', async (t) => {
  const { check } = compile(Type.RegExp(/^a/g, { maxLength: 9 }))
  t.same([check('ab'), check('ab'), check('ab')], [true, true, true])
})

t.test('the formats of Fastify\'s routes are known, and those of the app', async (t) => {
  const good: Record<string, string> = {
    email: 'ada@example.com',
    uuid: 'b9e8b7e0-0000-4000-8000-000000000000',
    'date-time': '2026-11-25T12:00:00Z',
    date: '2026-11-25',
    time: '12:00:00Z',
    uri: 'https://example.com/a?b#c',
    url: 'https://example.com',
    hostname: 'example.com',
    ipv4: '127.0.0.1',
    ipv6: '::1',
    byte: 'aGVsbG8=',
    regex: '^a$',
    'json-pointer': '/a/b',
    duration: 'P1D',
    'uri-reference': '/a'
  }
  for (const [format, value] of Object.entries(good)) {
    const { check, violations } = compile(Type.Object({ v: Type.String({ format }) }))
    t.equal(check({ v: value }), true, format)
    const bad = format === 'regex' ? '(' : '\u0000 not it'
    t.equal(check({ v: bad }), false, format)
    matchList(t, violations({ v: bad }), [{ path: '/v', message: `Expected string to match '${format}' format` }])
  }
  FormatRegistry.Set('sku', (text) => text.startsWith('sku-'))
  t.teardown(() => { FormatRegistry.Delete('sku') })
  t.same(['sku-1', 'x'].map(compile(Type.String({ format: 'sku', maxLength: 20 })).check), [true, false])
  t.throws(() => compile(Type.String({ format: 'sku' })), { message: /maxLength/ })
  t.throws(() => compile(Type.Object({ v: Type.String({ format: 'emial' }) })), {
    message: /^\/properties\/v has the format "emial", which nobody knows: .*email/
  })
})

const NEVER: Record<string, [TSchema, RegExp]> = {
  Date: [Type.Date(), /JSON cannot carry: .*date-time/],
  Uint8Array: [Type.Uint8Array(), /base64/],
  BigInt: [Type.BigInt(), /Type\.String/],
  Function: [Type.Function([], Type.Any()), /JSON cannot carry/],
  Constructor: [Type.Constructor([], Type.Any()), /JSON cannot carry/],
  Symbol: [Type.Symbol(), /JSON cannot carry/],
  Undefined: [Type.Undefined(), /Type\.Optional/],
  Void: [Type.Void(), /Type\.Null/],
  Promise: [Type.Promise(Type.Any()), /await/],
  Iterator: [Type.Iterator(Type.Any()), /array/],
  AsyncIterator: [Type.AsyncIterator(Type.Any()), /event/],
  'a date in a union': [Type.Union([Type.Null(), Type.Date()]), /\/anyOf\/1 is Type\.Date/],
  Transform: [
    Type.Transform(Type.String()).Decode((text) => new Date(text)).Encode((date) => date.toISOString()),
    /Type\.Transform/
  ],
  'Unsafe without a check': [Type.Unsafe({ type: 'string' }), /nobody can check: register it/],
  'a kind of nobody': [{ [Kind]: 'Nobody' } as unknown as TSchema, /"Nobody", which nobody can check/],
  'a reference to nothing': [Type.Object({ a: Type.Ref('Nothing') }), /refers to "Nothing"/],
  'a schema of typebox 1.x': [
    Object.defineProperty({ type: 'string' }, '~kind', { value: 'String' }) as unknown as TSchema,
    /"typebox" 1\.x.*@sinclair\/typebox/
  ],
  'a plain object': [{ type: 'string' } as unknown as TSchema, /build it with TypeBox's Type/],
  'a property that cannot be': [Type.Object({ v: Type.Never() }), /nothing can match/],
  'no alternative': [Type.Union([]), /nothing can match/],
  'bounds the wrong way round': [
    Type.Object({ v: Type.String({ minLength: 5, maxLength: 2 }) }),
    /nothing can match minLength 5 and maxLength 2/
  ],
  'numbers of an empty range': [Type.Integer({ minimum: 5, maximum: 2 }), /nothing can match minimum 5 and maximum 2/],
  'two types at once': [
    Type.Intersect([Type.String(), Type.Number()]),
    /nothing can match all of the types string and number/
  ]
}

for (const [name, [schema, says]] of Object.entries(NEVER)) {
  t.test(`a contract that cannot work is refused at declaration, with the way to mend it: ${name}`, async (t) => {
    t.throws(() => compile(schema), { message: says })
  })
}

t.test('a kind that the app has registered is checked by the app', async (t) => {
  TypeRegistry.Set('Even', (_schema, value) => typeof value === 'number' && value % 2 === 0)
  t.teardown(() => { TypeRegistry.Delete('Even') })
  t.same([2, 3].map(compile({ [Kind]: 'Even' } as unknown as TSchema).check), [true, false])
})

t.test('an optional property that must not be there is no contradiction', async (t) => {
  t.same([{}, { v: 1 }].map(compile(Type.Object({ v: Type.Optional(Type.Never()) })).check), [true, false])
})

const KEYS: Record<string, [TSchema, RegExp | undefined]> = {
  'one that is not there': [Type.Object({ other: Type.String() }), /which its schema does not have \(it has other\)/],
  'an optional one': [Type.Object({ team: Type.Optional(Type.String()) }), /optional/],
  'an object': [Type.Object({ team: Type.Object({}) }), /neither a string nor a number/],
  'a boolean': [Type.Object({ team: Type.Boolean() }), /neither a string nor a number/],
  'no object at all': [Type.String(), /no object/],
  'one that an alternative lacks': [
    Type.Union([Type.Object({ team: Type.String() }), Type.Object({})]),
    /does not have/
  ],
  'a string': [Type.Object({ team: Type.String() }), undefined],
  'a number': [Type.Object({ team: Type.Integer() }), undefined],
  'a choice': [Type.Object({ team: Type.Union([Type.Literal('a'), Type.Literal(2)]) }), undefined],
  'one of a part': [
    Type.Intersect([Type.Object({ team: Type.String() }), Type.Object({ points: Type.Number() })]),
    undefined
  ]
}

for (const [name, [data, says]] of Object.entries(KEYS)) {
  t.test(`the key of a latest event is a required string or number of its schema: ${name}`, async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(realtime, { jwt: { secret: 'x' } })
    const declare = (): void => {
      app.room(defineRoom('r/:id', { events: { e: { data, delivery: 'latest', key: 'team' } } } as never))
    }
    if (says === undefined) t.doesNotThrow(declare)
    else t.throws(declare, { code: 'REALTIME_ERR_ROOM', message: says })
  })
}

t.test('prepared schemas accept and refuse what they did before', async (t) => {
  const Node = Type.Recursive((This) => Type.Object({ name: Type.String(), children: Type.Array(This) }))
  const shapes: Array<[TSchema, unknown[], unknown[]]> = [
    [
      Node,
      [{ name: 'a', children: [{ name: 'b', children: [] }] }],
      [{ name: 'a', children: [{ name: 1, children: [] }] }, {}]
    ],
    [
      Type.Array(Type.Any(), { uniqueItems: true }),
      [[], [1, '1', true, 'true', null, 'null'], [{ a: 1, b: 2 }, { a: 1 }], [[1, 2], [12], '[1,2]']],
      [[1, 1], [{ a: 1, b: 2 }, { b: 2, a: 1 }], [[1], [1]]]
    ],
    [Type.Union(['a', 'b', 'c', 'd', 'e', 'f'].map((each) => Type.Literal(each))), ['a', 'f'], ['g', 1, null, ['a']]],
    [
      Type.Union(Array.from(
        { length: 12 },
        (_, i) => Type.Object({ kind: Type.Literal(`k${i}`), [`v${i}`]: Type.Integer() })
      )),
      [{ kind: 'k3', v3: 1 }],
      [{ kind: 'k3', v4: 1 }, { v3: 1 }, 'k3', [], null]
    ],
    [Type.Record(Type.String(), Type.Integer()), [{}, { a: 1 }], [{ a: 'b' }, []]],
    [
      Type.Module({
        A: Type.Object({ b: Type.Optional(Type.Ref('B')) }),
        B: Type.Object({ a: Type.Ref('A') })
      }).Import('A'),
      [{}, { b: { a: { b: { a: {} } } } }],
      [{ b: {} }, { b: { a: { b: 1 } } }]
    ],
    [
      Type.Object({ a: Type.String({ minLength: 2, maxLength: 4, pattern: '^[a-z]+$' }) }, {
        additionalProperties: false
      }),
      [{ a: 'abc' }],
      [{ a: 'a' }, { a: 'abcde' }, { a: 'AB' }, { a: 'ab', b: 1 }, {}]
    ]
  ]
  for (const [schema, good, bad] of shapes) {
    const { check, violations } = compile(schema)
    for (const value of good) t.equal(check(value), true, JSON.stringify(value))
    for (const value of bad) {
      t.equal(check(value), false, JSON.stringify(value))
      t.ok(violations(value).length > 0, JSON.stringify(value))
    }
  }
  matchList(
    t,
    compile(Node).violations({ name: 'a', children: [{ name: 'b', children: [{ name: 1, children: [] }] }] }),
    [{ path: '/children/0/children/0/name', message: 'Expected string' }]
  )
})

t.test('an intersection without further properties knows those of a union, however many alternatives that has', async (t) => {
  const Id = Type.Object({ id: Type.String() })
  const closed = { unevaluatedProperties: false } as const
  for (const count of [8, 9, 40]) {
    const union = Type.Union(Array.from({ length: count }, (_, i) => Type.Object({ type: Type.Literal(`t${i}`) })))
    for (const schema of [
      Type.Intersect([union, Id], closed),
      Type.Intersect([union, Id], { unevaluatedProperties: Type.Integer() }),
      Type.Intersect([Type.Intersect([union, Type.Object({})]), Id], closed),
      Type.Intersect([Type.Union([union, Type.Object({ type: Type.Integer() })]), Id], closed)
    ]) {
      const { check, violations } = compile(schema)
      for (const value of [
        { type: 't1', id: 'x' }, { type: 't7', id: 'x' }, { type: 't1' }, { type: 'other', id: 'x' }, { type: 1, id: 'x' },
        { type: 't1', id: 'x', more: 1 }, { type: 't1', id: 'x', more: 'x' }
      ]) {
        const fits = Value.Check(schema, value)
        t.equal(check(value), fits, `${count} ${JSON.stringify(value)}`)
        t.equal(violations(value).length === 0, fits)
      }
      t.equal(check({ type: 't1', id: 'x' }), true)
    }
  }
  const many = Type.Union(Array.from({ length: 200 }, (_, i) => Type.Object({ type: Type.Literal(`t${i}`) })))
  t.throws(() => compile(Type.Array(Type.Intersect([many, Id], closed))), /take unevaluatedProperties from the intersection/)
})
