import type { Ajv2020, ErrorObject, ValidateFunction } from 'ajv/dist/2020.js'
import { pointer, SchemaFault, type Checker } from './checker.js'
import { checkerOf, type Compiled, type Finding } from './json-checker.js'
import type { Json } from './json-references.js'
import { prepareJson, type Dialect, type JsonTest } from './json-schema.js'
import { load } from './load.js'

const TEST = 'fastify-realtime:test'

const dialect: Dialect = {
  attach (schema, tests) { schema[TEST] = tests },
  look (keywords, where) {
    const isMarked = '~standard' in keywords || Object.getOwnPropertyNames(keywords).some((name) => name.startsWith('~'))
    if (isMarked || Object.getOwnPropertySymbols(keywords).length > 0) {
      throw new SchemaFault(
        `${where} is of a library for schemas, within plain JSON Schema, where its own rules would not be checked: write the whole schema in one way`
      )
    }
    return { keywords, tests: [] }
  },
  format: () => undefined,
  isCounting: true,
  formatFix: ''
}

/**
 * Compiles plain JSON Schema by Ajv, as Fastify does for its routes, but strictly, and without changing data.
 *
 * @param limit bytes of the longest message that it will check
 * @throws SchemaFault for a schema that is unsafe or cannot work, or where code generation is forbidden
 */
export function compileJson (schema: Json, limit: number): Checker {
  const prepared = prepareJson(schema, limit, dialect)
  const ajv = create()
  return checkerOf(prepared, (part) => {
    let validate: ValidateFunction
    try {
      validate = ajv.compile(part)
    } catch (error) {
      throw error instanceof EvalError
        ? new SchemaFault('Ajv has to generate code, which is forbidden here: build the schema with Type of "@sinclair/typebox"')
        : new SchemaFault(`Ajv refuses the schema: ${(error as Error).message}`)
    }
    return compiled(validate)
  })
}

function create (): Ajv2020 {
  const { Ajv2020: Class } = load('ajv/dist/2020.js', 'ajv@8', 'plain JSON Schema') as { Ajv2020: typeof Ajv2020 }
  // With all of these options a schema says everything that it means; none of them may change what it checks.
  const ajv = new Class({
    strict: true,
    strictTuples: false,
    strictRequired: false,
    allowUnionTypes: true,
    ownProperties: true,
    useDefaults: false,
    coerceTypes: false,
    removeAdditional: false,
    logger: false
  })
  ajv.addKeyword({ keyword: TEST, schemaType: 'array', errors: 'full', validate: run })
  return ajv
}

const run: {
  (tests: JsonTest[], value: unknown, schema?: unknown, at?: { instancePath: string }): boolean
  errors?: Array<Partial<ErrorObject>>
} = (tests, value, _schema, at) => {
  for (const test of tests) {
    if (test.test(value)) continue
    run.errors = [{
      keyword: TEST,
      instancePath: at?.instancePath ?? '',
      message: test.says,
      params: { test, value }
    }]
    return false
  }
  return true
}

function compiled (validate: ValidateFunction): Compiled {
  return {
    check: validate,
    * findings (value) {
      if (validate(value)) return
      for (const error of validate.errors ?? []) yield finding(error)
    }
  }
}

function finding ({ instancePath, params, propertyName, message = 'does not fit' }: ErrorObject): Finding {
  const { missingProperty, additionalProperty, unevaluatedProperty, ...own } = params as Record<string, unknown>
  const name = missingProperty ?? additionalProperty ?? unevaluatedProperty ?? propertyName
  return { ...own, path: typeof name === 'string' ? pointer(instancePath, name) : instancePath, message }
}
