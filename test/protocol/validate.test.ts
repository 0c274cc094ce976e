import { execFileSync } from 'node:child_process'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { compile } from '../../lib/protocol/validate.js'
import { used } from '../helpers/cost.js'

t.test('at most five violations are told, with path and reason', async (t) => {
  const { check, violations } = compile(Type.Object(Object.fromEntries(Array.from(
    { length: 9 },
    (_, i) => [`p${i}`, Type.Integer()]
  ))))
  t.equal(check({}), false)
  const found = violations({ p0: 'x' })
  t.equal(found.length, 5)
  t.match(found[0], { path: /^\/p\d$/, message: String })
})

t.test('a pattern without maxLength is found wherever it stands', async (t) => {
  const bad = Type.String({ pattern: '^(a+)+$' })
  for (const [where, schema] of [
    ['', bad],
    ['/properties/a', Type.Object({ a: bad })],
    ['/items', Type.Array(bad)],
    ['/properties/a/anyOf/0', Type.Object({ a: Type.Union([bad, Type.Null()]) })],
    ['/properties/pattern', Type.Object({ pattern: bad })]
  ] as const) {
    t.throws(() => compile(schema), {
      message: new RegExp(`^${where === '' ? 'the schema' : where} has a pattern and no maxLength: add maxLength`)
    })
  }
})

t.test('what only looks like a pattern is none', async (t) => {
  for (const schema of [
    Type.String({ pattern: '^a$', maxLength: 9 }), Type.Object({ pattern: Type.String() }), Type.Literal('x'),
    Type.Object({}, { default: { pattern: 'x' } }), Type.String({ examples: [{ pattern: 'x' }] })
  ]) t.doesNotThrow(() => compile(schema))
})

t.test('a string that would take a pattern 86 seconds is refused at once by its length', async (t) => {
  const { check } = compile(Type.String({ pattern: '^(a+)+$', maxLength: 16 }))
  const start = used()
  t.equal(check(`${'a'.repeat(28)}!`), false)
  t.ok(used() - start < 50)
})

t.test('where code generation is forbidden schemas are interpreted, with the same answers', async (t) => {
  const script = `
    import { Type } from '@sinclair/typebox'
    import { compile, loadInterpreter } from './lib/protocol/validate.ts'
    let forbidden = false
    try { new Function('') } catch { forbidden = true }
    const { check, violations } = compile(Type.Object({ a: Type.String() }))
    const answers = () => [forbidden, check({ a: 'x' }), check({ a: 1 }), violations({ a: 1 })[0].path]
    const alone = answers()
    await loadInterpreter()
    console.log(JSON.stringify([alone, answers()]))`
  const out = execFileSync(
    process.execPath,
    ['--disallow-code-generation-from-strings', '--import', 'tsx', '--input-type=module', '-e', script],
    { encoding: 'utf8' }
  )
  t.same(JSON.parse(out), [[true, true, false, '/a'], [true, true, false, '/a']])
})

t.test('what is no schema is an error at declaration, not at the first message', async (t) => {
  t.throws(() => compile({ type: 'object' } as never))
})
