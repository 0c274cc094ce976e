import { KindGuard, type TSchema, type TUnion } from '@sinclair/typebox'
import { Errors } from '@sinclair/typebox/errors'

interface Spelled { readonly properties: Readonly<Record<string, TSchema>>, readonly items?: TSchema }

/** Says what is wrong with an option: its path, and for an unknown key the one that was probably meant. */
export function explain (rules: TSchema, value: unknown, name: string): string | undefined {
  const first = Errors(rules, value).First()
  if (first === undefined) return undefined
  const path = first.path.slice(1).replaceAll('/', '.')
  const where = `${name}${path === '' ? '' : `.${path}`}`
  if (KindGuard.IsUnion(first.schema)) return explainUnion(first.schema, first.value, where)
  if (!first.message.startsWith('Unexpected property')) {
    return `${where}: ${first.message.toLowerCase()}, got ${show(first.value)}`
  }
  const parts = path.split('.')
  const key = parts.pop()!
  const parent = parts.reduce<unknown>(
    (at, part) => (at as Spelled | undefined)?.items ?? (at as Spelled | undefined)?.properties?.[part],
    rules
  ) as Spelled | undefined
  const known = Object.keys(parent?.properties ?? {})
  return `${name}.${path} is no option${meant(key, known)}`
}

/**
 * Says which key of an object nobody knows, and which one was probably meant.
 *
 * @param what the keys are, after "is no"
 */
export function unknownKey (given: object, known: readonly string[], what: string): string | undefined {
  const key = Object.keys(given).find((each) => !known.includes(each))
  return key === undefined ? undefined : `${key.slice(0, SHOWN)} is no ${what}${meant(key.slice(0, SHOWN), known)}`
}

function meant (key: string, known: readonly string[]): string {
  const near = known.find((each) => distance(each, key) <= 2)
  return near === undefined ? `; known here: ${known.join(', ')}` : `; did you mean "${near}"?`
}

/** Explains a value of several allowed forms: in an object it says what is wrong, else which forms there are. */
function explainUnion ({ anyOf }: TUnion, value: unknown, where: string): string {
  const objects = anyOf.filter((each) => KindGuard.IsObject(each))
  if (objects.length === 1 && typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return explain(objects[0]!, value, where)!
  }
  return `${where}: expected ${anyOf.map(worded).join(' or ')}, got ${show(value)}`
}

function worded (schema: TSchema): string {
  if (KindGuard.IsLiteral(schema)) return show(schema.const)
  if (KindGuard.IsObject(schema)) return `{ ${Object.keys(schema.properties).join(', ')} }`
  if (KindGuard.IsArray(schema)) return `an array of ${worded(schema.items)}`
  return typeof schema.type === 'string' ? schema.type : 'a function'
}

/** Characters of a value that are shown. */
const SHOWN = 200

/** Shows what should be a name, and is one as it is. */
export function nameOrShow (value: unknown): string { return typeof value === 'string' ? value : show(value) }

export function show (value: unknown): string {
  if (typeof value === 'function') return 'a function'
  // JSON has no word for `Infinity` and `NaN`.
  if (typeof value === 'number' || typeof value === 'symbol') return String(value)
  if (typeof value === 'bigint') return `${value}n`
  if (isInstance(value)) return `an instance of ${value.constructor.name}`
  const text = json(value)
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text
}

/** What an instance holds may be much, a secret among it. */
function isInstance (value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype !== null && prototype !== Object.prototype && typeof value.constructor === 'function'
}

function json (value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'undefined'
  } catch {
    return 'an object that makes no JSON'
  }
}

function distance (a: string, b: string): number {
  const row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    let diagonal = row[0]!
    row[0] = i
    for (let j = 1; j <= b.length; j++) {
      const above = row[j]!
      row[j] = Math.min(above + 1, row[j - 1]! + 1, diagonal + (a[i - 1] === b[j - 1] ? 0 : 1))
      diagonal = above
    }
  }
  return row[b.length]!
}
