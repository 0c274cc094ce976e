import { SchemaFault, type Checker } from './checker.js'
import { checkerOf, named, type Finding } from './json-checker.js'
import { isRecord, type Json } from './json-references.js'
import { prepareJson, type Dialect, type JsonTest, type Schema } from './json-schema.js'
import { descend, LISTED, weigh } from './large-values.js'
import { load } from './load.js'
import { checkCarried } from './work.js'

/** What this file uses of the package: it has to be optional, and so do its types. */
interface TypeBox {
  Compile (schema: unknown): { Check (value: unknown): boolean, Errors (value: unknown): TypeBoxError[] }
}
interface TypeBoxFormats { Get (name: string): ((text: string) => boolean) | undefined }
interface TypeBoxError {
  readonly keyword: string
  readonly instancePath: string
  readonly message: string
  readonly params: Readonly<Record<string, unknown>>
}
/** How TypeBox keeps a test of the application. */
interface Refinement<E = unknown> { check (value: unknown): boolean, error (value: unknown): E }

const KINDS = new Set([
  'Any', 'Array', 'Boolean', 'Cyclic', 'Dependent', 'Enum', 'Integer', 'Intersect', 'Literal', 'Never', 'Null', 'Number',
  'Object', 'Record', 'Ref', 'String', 'TemplateLiteral', 'This', 'Tuple', 'Union', 'Unknown'
])
const MARKS = new Set(['~kind', '~optional', '~readonly', '~immutable', '~refine', '~unsafe'])

/** Carries a failed test through TypeBox, which hands on whatever the test says. */
class Failed {
  readonly test: JsonTest
  readonly value: unknown

  constructor (test: JsonTest, value: unknown) {
    this.test = test
    this.value = value
  }
}

/**
 * Compiles a schema of the package `typebox` 1.x by its own compiler.
 *
 * @param limit bytes of the longest message that it will check
 * @throws SchemaFault for a schema that is unsafe or cannot work, or where the package is missing
 */
export function compileTypeBox (schema: Json, limit: number): Checker {
  const { Compile } = load('typebox/compile', 'typebox@1', 'of the package "typebox" 1.x') as TypeBox
  const prepared = prepareJson(schema, limit, dialect)
  const most = LISTED / prepared.size
  const known = new Map<Schema, ReturnType<TypeBox['Compile']>>()
  const compiled = (part: Schema): ReturnType<TypeBox['Compile']> => {
    let own = known.get(part)
    if (own === undefined) known.set(part, own = Compile(part))
    return own
  }
  const parts = {
    fits: (part: Schema, value: unknown) => compiled(part).Check(value),
    failed: (part: Schema, value: unknown) => isRecord(part)
      ? attached(part).filter((each) => !each.check(value)).map((each) => said('', each.error(value)))
      : [],
    findings: (part: Schema, value: unknown): Iterable<Finding> => weigh(value, most) <= most
      ? compiled(part).Errors(value).flatMap((error) => [...findings(error)])
      : descend(part, value, parts)
  }
  return checkerOf(prepared, (part) => {
    const own = compiled(part)
    return { check: (value) => own.Check(value), findings: (value) => parts.findings(part, value) }
  })
}

const dialect: Dialect = {
  attach (schema, tests) {
    schema['~refine'] = tests.map((test): Refinement<Failed> => ({
      check: test.test,
      error: (value) => new Failed(test, value)
    }))
  },
  look (schema, where) {
    const kind = schema['~kind']
    if (typeof kind === 'string') {
      checkCarried(kind, where)
      if (!KINDS.has(kind)) {
        throw new SchemaFault(`${where} is of the kind "${kind}", which nobody can check: use another type`)
      }
    }
    if ('~codec' in schema) {
      throw new SchemaFault(
        `${where} is a Type.Codec, which is not applied to messages and events: declare what is sent, and change it in the handler`
      )
    }
    if (Object.getOwnPropertySymbols(schema).length > 0) {
      throw new SchemaFault(
        `${where} is of "@sinclair/typebox" 0.34, within a schema of "typebox" 1.x: build both with one of them`
      )
    }
    const mark = Object.getOwnPropertyNames(schema).find((name) => name.startsWith('~') && !MARKS.has(name))
    if (mark !== undefined) throw new SchemaFault(`${where} has the mark "${mark}", which nobody can check`)
    const keywords = Object.fromEntries(Object.entries(schema).filter(([name]) => !name.startsWith('~')))
    return { keywords, tests: refinements(schema, where) }
  },
  format: (name) => (load('typebox/format', 'typebox@1', 'of the package "typebox" 1.x') as TypeBoxFormats).Get(name),
  isCounting: false,
  formatFix: 'register it with Set of "typebox/format", or '
}

/** The tests that the application has put into a schema by `Type.Refine`. */
function refinements (schema: Json, where: string): JsonTest[] {
  const own = schema['~refine']
  if (own === undefined) return []
  if (!Array.isArray(own) || !own.every((each) => isRecord(each) && typeof each.check === 'function')) {
    throw new SchemaFault(`${where} has a refinement without a check`)
  }
  return (own as Refinement[]).map((each) => ({
    test: (value) => each.check(value),
    says: 'must pass the refinement',
    words: (value: unknown) => String(each.error(value))
  }))
}

/** The tests in a schema that was prepared, which `attach` has put there. */
function attached (schema: Json): ReadonlyArray<Refinement<Failed>> {
  return (schema['~refine'] ?? []) as ReadonlyArray<Refinement<Failed>>
}

function said (path: string, { test, value }: Failed): Finding {
  return { path, message: test.words?.(value) ?? test.says, test, value }
}

function * findings ({ instancePath: path, message, params }: TypeBoxError): Generator<Finding> {
  if (params.message instanceof Failed) yield said(path, params.message)
  else {
    const names = params.requiredProperties ?? params.additionalProperties ?? params.unevaluatedProperties ??
      params.propertyNames
    if (Array.isArray(names)) yield * named(path, names as string[], message)
    else yield { path, message }
  }
}
