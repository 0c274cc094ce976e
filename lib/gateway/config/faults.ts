import { KindGuard, TypeGuard, type TObject, type TSchema, type TUnion } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** What is wrong with a config: where, and in words that name the fix. */
export interface Fault {
  /** The path, such as `rooms["chat/:id"].events.said`; empty for the whole file. */
  readonly path: string
  readonly says: string
}

/** A config that cannot be used, with everything that is wrong with it. */
export class ConfigError extends Error {
  readonly faults: readonly Fault[]

  constructor (faults: readonly Fault[]) {
    super(faults.map(lineOf).join('\n'))
    this.faults = faults
  }
}

/** One fault as one line for people. */
export function lineOf ({ path, says }: Fault): string { return path === '' ? says : `${path}: ${says}` }

/** The path of a property or an item below another. */
export function below (path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`
  if (!/^[$A-Za-z_]\w*$/.test(key)) return `${path}[${JSON.stringify(key)}]`
  return path === '' ? key : `${path}.${key}`
}

/** Says everything that is wrong with a value, in the words of the schema that the value is checked by. */
export function faultsOf (schema: TSchema, value: unknown, path = ''): Fault[] {
  if (Value.Check(schema, value)) return []
  const faults = walk(schema, value, path)
  return faults.length > 0 ? faults : [{ path, says: `expected ${worded(schema)}, got ${shown(value, schema)}` }]
}

function walk (schema: TSchema, value: unknown, path: string): Fault[] {
  if (KindGuard.IsUnion(schema)) return ofUnion(schema, value, path)
  if (KindGuard.IsObject(schema) && isRecord(value)) return ofObject(schema, value, path)
  if (KindGuard.IsRecord(schema) && isRecord(value)) {
    const [each] = Object.values(schema.patternProperties)
    const faults = Object.entries(value).flatMap(([key, item]) => faultsOf(each!, item, below(path, key)))
    if (Object.keys(value).length === 0) faults.push({ path, says: `is empty: give ${schema.description ?? 'one at least'}` })
    return faults
  }
  if (KindGuard.IsArray(schema) && Array.isArray(value)) {
    return value.flatMap((item, index) => faultsOf(schema.items, item, below(path, index)))
  }
  return []
}

function ofObject (schema: TObject, value: Record<string, unknown>, path: string): Fault[] {
  const known = Object.keys(schema.properties)
  const others = Object.keys(value).filter((key) => !known.includes(key))
  if (known.includes('data') && value.data === undefined && others.some((key) => SCHEMA_WORDS.has(key))) {
    return [{ path, says: 'is a schema by itself: write { "data": <the schema> }' }]
  }
  const faults = others.map((key) => ({ path: below(path, key), says: unknownKey(key, known) }))
  for (const [key, each] of Object.entries(schema.properties)) {
    const item = value[key]
    if (item !== undefined) faults.push(...faultsOf(each, item, below(path, key)))
    else if (!TypeGuard.IsOptional(each) && Object.hasOwn(value, key) === false) {
      faults.push({ path: below(path, key), says: `is missing${each.description === undefined ? '' : `: ${each.description}`}` })
    }
  }
  return faults
}

const SCHEMA_WORDS: ReadonlySet<string> = new Set(['type', 'properties', 'anyOf', 'oneOf', '$ref', 'enum', 'const'])

function unknownKey (key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  return near === undefined ? `is unknown; known here: ${known.join(', ')}` : `is unknown; did you mean "${near}"?`
}

/** Explains an object by the form that it was most likely meant to be, anything else by all forms. */
function ofUnion (schema: TUnion, value: unknown, path: string): Fault[] {
  const objects = schema.anyOf.filter((each): each is TObject => KindGuard.IsObject(each))
  if (isRecord(value)) {
    const shared = objects.map((each) => ({ each, kind: kindOf(each, value), count: sharedKeys(each, value) }))
    const kinds = shared.filter(({ kind }) => kind !== undefined)
    if (kinds.length > 0) {
      const meant = kinds.find(({ kind }) => kind!.isIt)
      if (meant !== undefined) return ofObject(meant.each, value, path)
      const { key, given } = kinds[0]!.kind!
      const words = kinds.map(({ kind }) => kind!.word)
      const near = typeof given === 'string' ? nearest(given, words) : undefined
      return [{
        path: below(path, key),
        says: `expected ${words.map((word) => JSON.stringify(word)).join(' or ')}, got ${shown(given, kinds[0]!.each.properties[key]!)}${near === undefined ? '' : `; did you mean "${near}"?`}`
      }]
    }
    const [best] = shared.sort((a, b) => b.count - a.count)
    if (best !== undefined && (best.count > 0 || objects.length === 1)) return ofObject(best.each, value, path)
  }
  const arrays = schema.anyOf.filter((each) => KindGuard.IsArray(each))
  if (Array.isArray(value) && arrays.length === 1 && value.length > 0) return walk(arrays[0]!, value, path)
  const literals = schema.anyOf.flatMap((each) => KindGuard.IsLiteral(each) ? [each.const] : [])
  const near = typeof value === 'string' ? nearest(value, literals.filter((word) => typeof word === 'string')) : undefined
  return [{ path, says: `expected ${worded(schema)}, got ${shown(value, schema)}${near === undefined ? '' : `; did you mean "${near}"?`}` }]
}

/** The property by which forms of an object are told apart, where this form has one. */
function kindOf (schema: TObject, value: Record<string, unknown>): {
  key: string, word: string, given: unknown, isIt: boolean
} | undefined {
  const [key, each] = Object.entries(schema.properties)[0] ?? []
  if (key === undefined || !KindGuard.IsLiteral(each)) return undefined
  return { key, word: String(each.const), given: value[key], isIt: value[key] === each.const }
}

function sharedKeys (schema: TObject, value: Record<string, unknown>): number {
  return Object.keys(value).filter((key) => Object.hasOwn(schema.properties, key)).length
}

function worded (schema: TSchema): string {
  if (KindGuard.IsUnion(schema)) return schema.anyOf.map(worded).join(' or ')
  if (KindGuard.IsLiteral(schema)) return JSON.stringify(schema.const)
  if (KindGuard.IsObject(schema)) return `{ ${Object.keys(schema.properties).join(', ')} }`
  if (KindGuard.IsArray(schema)) return `a list${schema.minItems === undefined ? '' : ` of at least ${schema.minItems}`} of ${worded(schema.items)}`
  if (KindGuard.IsBoolean(schema)) return 'true or false'
  if (KindGuard.IsString(schema)) {
    const [example] = (schema.examples as unknown[] | undefined) ?? []
    return example === undefined ? 'a text' : `a text such as ${JSON.stringify(example)}`
  }
  if (KindGuard.IsInteger(schema) || KindGuard.IsNumber(schema)) {
    const { minimum, maximum, exclusiveMinimum } = schema
    const from = exclusiveMinimum === undefined ? '' : ` above ${exclusiveMinimum}`
    const range = minimum === undefined ? from : ` from ${minimum}${maximum === undefined ? ' on' : ` to ${maximum}`}`
    return `${KindGuard.IsInteger(schema) ? 'a whole number' : 'a number'}${range}`
  }
  return 'an object'
}

/** A value as a fault shows it: short, and no text where it may be a secret that stands in the wrong place. */
function shown (value: unknown, schema: TSchema): string {
  if (typeof value === 'string') return value.length <= 40 && isOfWords(schema) ? JSON.stringify(value) : 'a text'
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  return isRecord(value) ? `{ ${Object.keys(value).slice(0, 5).join(', ')} }` : String(value)
}

/** Whether a value of this schema is a word, a number or a path, and so no secret. */
function isOfWords (schema: TSchema): boolean {
  if (KindGuard.IsUnion(schema)) return schema.anyOf.every((each) => isOfWords(each) || KindGuard.IsArray(each))
  return KindGuard.IsLiteral(schema) || KindGuard.IsInteger(schema) || KindGuard.IsNumber(schema) ||
    KindGuard.IsBoolean(schema) || (KindGuard.IsString(schema) && schema.pattern !== undefined)
}

export function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The word that was probably meant. */
export function nearest (word: string, known: readonly string[]): string | undefined {
  const bound = word.length < 5 ? 1 : 2
  return known.map((each) => ({ each, apart: distance(each.toLowerCase(), word.toLowerCase()) }))
    .filter(({ apart }) => apart <= bound)
    .sort((a, b) => a.apart - b.apart)[0]?.each
}

/** How many letters have to be changed, put in, left out or swapped with their neighbour. */
function distance (a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, index) => index)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      row[j] = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + (isSame ? 0 : 1))
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (isSwapped) row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1)
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}
