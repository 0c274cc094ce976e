import { MAX_VIOLATIONS, pointer, SchemaFault, type Parsed, type Parser, type Violation } from './checker.js'
import { isThenable } from './thenable.js'

interface Issue { readonly message: string, readonly path?: Iterable<PropertyKey | { readonly key: PropertyKey }> }
type Result = { readonly value: unknown, readonly issues?: undefined } | { readonly issues: readonly Issue[] }
interface Standard {
  readonly version: unknown
  readonly vendor: unknown
  readonly validate: (value: unknown) => Result | Promise<Result>
}

/**
 * The asynchronous way of zod. Its `validate` tries the synchronous way first: a check of the application's would run
 * twice for each value, and what the first one rejects with would be an unhandled rejection.
 */
interface Zod {
  safeParseAsync (value: unknown): Promise<
    { success: true, data: unknown } | { success: false, error: { issues: Issue[] } }
  >
}

function isZod (schema: object, vendor: unknown): schema is Zod {
  return vendor === 'zod' && 'safeParseAsync' in schema && typeof schema.safeParseAsync === 'function'
}

/**
 * Makes a schema ready that follows Standard Schema v1. What its check costs is a matter of its library.
 *
 * @throws SchemaFault for another version of the standard
 */
export function standard (schema: { readonly '~standard': unknown }): Parser {
  const own = schema['~standard'] as Partial<Standard> | null
  if (typeof own !== 'object' || own === null || own.version !== 1 || typeof own.validate !== 'function') {
    throw new SchemaFault(
      `the schema is no Standard Schema of version 1, which is the one that is known (it says ${String(own?.version)}): npm i a version of its library that is`
    )
  }
  // `validate` is called on what has it, which may need it.
  const its = own as Standard
  let isAsynchronous = false
  return {
    parse (value) {
      if (isAsynchronous && isZod(schema, its.vendor)) {
        return schema.safeParseAsync(value).then((result) => parsed(result.success
          ? { value: result.data }
          : result.error))
      }
      const result = its.validate(value)
      if (!isThenable(result)) return parsed(result)
      isAsynchronous = true
      return Promise.resolve(result).then(parsed)
    }
  }
}

/** @throws TypeError for what is no result, so that nothing passes unchecked */
function parsed (result: Result): Parsed {
  if (result.issues === undefined) {
    if ('value' in result) return { value: result.value }
    throw new TypeError('the schema has answered with neither a value nor issues')
  }
  return { violations: result.issues.slice(0, MAX_VIOLATIONS).map(violationOf) }
}

function violationOf ({ message, path = [] }: Issue): Violation {
  let at = ''
  for (const step of path) at = pointer(at, typeof step === 'object' ? step.key : step)
  return { path: at, message }
}

/** Below so many levels nothing is looked at: JSON of this depth is refused by every reader of this library. */
const DEPTH = 64

/** Finds what JSON would not carry as it is, in what a schema has made of a value. */
export function uncarried (value: unknown, path = '', depth = 0): Violation | undefined {
  if (depth > DEPTH) return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : { path, message: 'is no number of JSON' }
  if (typeof value !== 'object') {
    return typeof value === 'string' || typeof value === 'boolean'
      ? undefined
      : { path, message: `is ${typeof value}, which JSON cannot carry` }
  }
  if (value === null) return undefined
  if (Array.isArray(value)) {
    for (const [index, each] of value.entries()) {
      const fault = uncarried(each, pointer(path, index), depth + 1)
      if (fault !== undefined) return fault
    }
    return undefined
  }
  // Objects of the language and the platform say what they are, and JSON would write most of them as `{}`.
  const kind = Object.prototype.toString.call(value).slice('[object '.length, -1)
  if (kind !== 'Object' || 'toJSON' in value) {
    return { path, message: `is ${kind === 'Object' ? 'an object with toJSON' : `a ${kind}`}, which JSON cannot carry` }
  }
  for (const [name, each] of Object.entries(value)) {
    // A property that is undefined is absent in JSON, as it is for who reads it.
    const fault = each === undefined ? undefined : uncarried(each, pointer(path, name), depth + 1)
    if (fault !== undefined) return fault
  }
  return undefined
}
