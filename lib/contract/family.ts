/** The kinds of schemas that a contract may be written with. */
export type Family = 'typebox' | 'typebox-1' | 'json-schema' | 'standard-schema'

/** Under this key `@sinclair/typebox` keeps what a schema is; the symbol is registered, so the package need not be. */
const KIND = Symbol.for('TypeBox.Kind')
/** One of these at least makes an object a JSON Schema that refuses something. */
const KEYWORDS = [
  'type', 'properties', 'required', 'patternProperties', 'items', 'prefixItems', 'anyOf', 'oneOf', 'allOf', 'not', 'if',
  'enum', 'const', '$ref'
]

function isLike (value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

/** The family that a schema shows by its marks; `undefined` for what is no schema of any of them. */
export function familyOf (schema: unknown): Family | undefined {
  if (!isLike(schema)) return undefined
  if ('~standard' in schema) return 'standard-schema'
  if (KIND in schema) return 'typebox'
  if ('~kind' in schema || '~unsafe' in schema) return 'typebox-1'
  return typeof schema === 'object' && KEYWORDS.some((key) => Object.hasOwn(schema, key)) ? 'json-schema' : undefined
}

/** The schema of the data of a message or event: what was given is the schema, or has it beside other things. */
export function dataOf (spec: unknown): unknown {
  return isSpec(spec) ? spec.data : spec
}

/** Whether a message or event was declared in the long form. */
export function isSpec (spec: unknown): spec is { readonly data: object } {
  return typeof spec === 'object' && spec !== null && familyOf(spec) === undefined && 'data' in spec && isLike(spec.data)
}
