import { SchemaFault } from './checker.js'
import { UNCHECKED } from './formats.js'
import { isRecord, References, type Json } from './json-references.js'
import { isUnique, partOf, within, type Part } from './parts.js'
import { checkBounds, FEW, itemsOf, noLength, unknownFormat, Work } from './work.js'

/** A test of this library in place of keywords whose check would take too long, or would begin before its length. */
export interface JsonTest {
  readonly test: (value: unknown) => boolean
  readonly says: string
  /** What it says of one value, where that is the application's to say. */
  readonly words?: (value: unknown) => string
  /** The part that the value is to fit, which can list what is wrong with it. */
  readonly partOf?: (value: unknown) => Part<Schema> | undefined
}

/** A schema as the checker of a family gets it. */
export type Schema = boolean | Json

/** What the families that are written as JSON Schema do in their own way. */
export interface Dialect {
  /** Puts tests into a schema, so that the family's checker runs them behind the other keywords. */
  attach (schema: Json, tests: readonly JsonTest[]): void
  /**
   * Looks at the marks of a schema before its keywords, and at what only this family has.
   *
   * @throws SchemaFault for a schema that it cannot check
   */
  look (schema: Json, where: string): { readonly keywords: Json, readonly tests: readonly JsonTest[] }
  /** A format that the app has registered with the family, which is not looked into. */
  format (name: string): ((text: string) => boolean) | undefined
  /** Whether its checker refuses an array that is too long before it looks at the items. */
  readonly isCounting: boolean
  /** What to do about a format that nobody knows. */
  readonly formatFix: string
}

export interface PreparedJson {
  readonly schema: Schema
  readonly parts: ReadonlyArray<Part<Schema>>
  /** Number of parts of the schema. */
  readonly size: number
  /** Forgets the results for the value that was checked last. */
  readonly forget: (() => void) | undefined
}

const TYPES = new Set(['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'])
/** They say something to readers and refuse nothing. */
const ANNOTATIONS = new Set([
  '$schema', '$id', '$anchor', '$comment', 'title', 'description', 'default', 'examples', 'deprecated', 'readOnly',
  'writeOnly'
])
/** Their values are numbers. */
const NUMERIC = new Set([
  'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf', 'minLength', 'maxLength', 'minItems',
  'maxItems', 'minContains', 'maxContains', 'minProperties', 'maxProperties'
])
/** Those of them that count something. */
const COUNTS = /^(?:min|max)[A-Z]/
/** They look at the items of an array. */
const OF_ITEMS = ['prefixItems', 'items', 'contains', 'minContains', 'maxContains']
const DRAFTS = /^https?:\/\/json-schema\.org\/(draft-07|draft\/2019-09|draft\/2020-12)\/schema#?$/
/** Parts of a schema, what it refers to written out. */
const MOST_PARTS = 10_000

/**
 * Writes a JSON Schema of draft 7 to 2020-12 as one of 2020-12 whose check takes milliseconds, whatever a message
 * within the limit holds. Expressions are proved, and run only after the length of the text was checked; a part that
 * refers to itself is checked once for each value.
 *
 * @param limit bytes of a message
 * @throws SchemaFault that says where the schema is unsafe, cannot work, or has a keyword that nobody checks
 */
export function prepareJson (schema: Json, limit: number, dialect: Dialect): PreparedJson {
  const { $schema } = schema
  if ($schema !== undefined && !(typeof $schema === 'string' && DRAFTS.test($schema))) {
    throw new SchemaFault(`the $schema ${JSON.stringify($schema)} is none of draft 7, 2019-09 and 2020-12`)
  }
  const preparing = new JsonPreparing(schema, limit, dialect)
  const prepared = preparing.visit(schema, '', 1)
  if (!canMatch(schema)) throw new SchemaFault('nothing can match the schema: it is false where a value has to be')
  const { parts, texts, size, isRecalling } = preparing
  const forget = (): void => {
    for (const { seen } of parts) seen.clear()
    texts.clear()
  }
  return { schema: prepared, parts, size, forget: isRecalling ? forget : undefined }
}

class JsonPreparing {
  readonly parts: Array<Part<Schema>> = []
  /** JSON texts of values in arrays of unique items, so that a value inside another one is not written again. */
  readonly texts = new Map<object, string>()
  isRecalling = false
  readonly #work: Work
  readonly #dialect: Dialect
  readonly #references: References
  readonly #recursive = new Map<Json, Part<Schema>>()
  size = 0

  constructor (root: Json, limit: number, dialect: Dialect) {
    this.#work = new Work(limit)
    this.#dialect = dialect
    this.#references = new References(root)
    if (this.#references.isUnevaluated && this.#references.recursive.size > 0) {
      throw new SchemaFault(
        'the schema refers to itself and has unevaluated properties or items: use additionalProperties or items in their place'
      )
    }
  }

  /** @param times how many values of one message this part may check */
  visit (schema: unknown, path: string, times: number): Schema {
    const where = path === '' ? 'the schema' : path
    if (typeof schema === 'boolean') return schema
    if (!isRecord(schema)) throw new SchemaFault(`${where} is no schema: it is an object of keywords, true or false`)
    if (!this.#references.recursive.has(schema)) return this.#convert(schema, path, times)
    let part = this.#recursive.get(schema)
    if (part === undefined) {
      part = this.#part()
      this.#recursive.set(schema, part)
      part.schema = this.#convert(schema, path, Infinity)
    }
    const known = part
    this.isRecalling = true
    return this.#tested({}, [{
      test: (value) => within(known, value),
      says: 'must be a value of its kind',
      partOf: () => known
    }])
  }

  #part (schema?: Schema): Part<Schema> {
    const part = partOf(schema)
    this.parts.push(part)
    return part
  }

  #tested (schema: Json, tests: readonly JsonTest[]): Json {
    if (tests.length > 0) this.#dialect.attach(schema, tests)
    return schema
  }

  #convert (schema: Json, path: string, times: number): Schema {
    const where = path === '' ? 'the schema' : path
    if (++this.size > MOST_PARTS) {
      throw new SchemaFault(`${where}: the schema has more than ${MOST_PARTS} parts, what it refers to written out`)
    }
    const { keywords, tests: own } = this.#dialect.look(schema, where)
    checkBounds(keywords, where)
    const copy: Json = {}
    const tests: JsonTest[] = []
    // What stands behind a bound of this library hides from other keywords which items it has looked at.
    const isCounting = this.#dialect.isCounting || !this.#references.isUnevaluated
    const items = isCounting ? itemsOf(keywords.maxItems, times) : Infinity
    const { counted } = this.#work
    for (const key of Object.keys(keywords)) {
      if (keywords[key] === undefined) continue
      this.#keyword(key, { schema: keywords, source: schema, copy, tests, path, where, times, items })
    }
    if (!this.#dialect.isCounting && items < Infinity && this.#work.counted > counted) {
      tests.push(this.#upTo(keywords.maxItems as number, copy))
    }
    this.#text(keywords, tests, where, times)
    return this.#tested(copy, [...tests, ...own])
  }

  /** Moves what looks at items behind the bound of their number, which the checker looks at too late. */
  #upTo (most: number, copy: Json): JsonTest {
    const own: Json = {}
    for (const key of OF_ITEMS) {
      if (copy[key] !== undefined) own[key] = copy[key]
      delete copy[key]
    }
    const part = this.#part(own)
    return {
      test: (value) => !Array.isArray(value) || value.length > most || part.check!(value),
      says: 'must have items that fit',
      partOf: () => part
    }
  }

  #keyword (key: string, at: Place): void {
    const { schema, source, copy, tests, path, where, times, items } = at
    const value = schema[key]
    const child = (each: unknown, name: string, many = times): Schema => this.visit(each, `${path}/${name}`, many)
    const all = (many = times): Schema[] => listOf(value, key, where).map((each, i) => child(each, `${key}/${i}`, many))
    const named = (many = times): Json => Object.fromEntries(
      entriesOf(value, key, where).map(([name, each]) => [name, child(each, `${key}/${name}`, many)])
    )
    if (ANNOTATIONS.has(key)) return
    if (NUMERIC.has(key)) {
      if (!Number.isFinite(value)) throw new SchemaFault(`${where}: ${key} is a number`)
      if (key === 'multipleOf' && !((value as number) > 0)) throw new SchemaFault(`${where}: ${key} is more than 0`)
      if (COUNTS.test(key) && !(Number.isInteger(value) && (value as number) >= 0)) {
        throw new SchemaFault(`${where}: ${key} is a whole number from 0`)
      }
      copy[key] = value
      return
    }
    switch (key) {
      case 'const':
        copy.const = value
        return
      case 'required':
        copy.required = namesOf(value, key, where)
        return
      case 'dependentRequired':
        for (const [name, each] of entriesOf(value, key, where)) {
          copy[key] = { ...copy[key] as Json | undefined, [name]: namesOf(each, key, where) }
        }
        return
      case 'type':
        for (const type of Array.isArray(value) ? listOf(value, key, where) : [value]) {
          if (TYPES.has(type as string)) continue
          throw new SchemaFault(`${where} has the type ${JSON.stringify(type)}, which JSON has not`)
        }
        copy.type = value
        return
      case 'pattern': case 'format': return
      case 'enum': {
        const values = listOf(value, key, where)
        if (values.length <= FEW || values.some((each) => typeof each === 'object' && each !== null)) copy.enum = values
        else tests.push(wordsTest(values))
        return
      }
      case '$ref': {
        const target = this.visit(this.#references.resolve(source, where), path, times)
        copy.allOf = [target, ...(copy.allOf as Schema[] | undefined ?? [])]
        return
      }
      case '$defs': case 'definitions':
        // What nothing refers to is looked at all the same, because it is published with the schema.
        for (const [name, each] of entriesOf(value, key, where)) child(each, `${key}/${name}`, 0)
        return
      case 'allOf':
        copy.allOf = [...(copy.allOf as Schema[] | undefined ?? []), ...all()]
        return
      case 'anyOf': case 'oneOf':
        this.#union(key, all(), at)
        return
      case 'not': case 'if': case 'then': case 'else':
        copy[key] = child(value, key)
        return
      case 'properties':
        // The property that tells the alternatives of a union apart is checked before properties with large values.
        copy.properties = Object.fromEntries(Object.entries(named()).sort(([a], [b]) =>
          rankOf((value as Json)[a]) - rankOf((value as Json)[b])))
        return
      case 'patternProperties':
        // All property names of a message together are no longer than the message.
        for (const [pattern] of entriesOf(value, key, where)) {
          this.#work.prove(pattern, 'u', `${path}/patternProperties`, this.#work.limit, 1)
        }
        copy[key] = named(Infinity)
        return
      case 'additionalProperties': case 'unevaluatedProperties': case 'unevaluatedItems': case 'propertyNames':
        copy[key] = child(value, key, Infinity)
        return
      case 'dependentSchemas':
        copy[key] = { ...copy[key] as Json | undefined, ...named() }
        return
      case 'dependencies':
        for (const [name, each] of entriesOf(value, key, where)) {
          const to = Array.isArray(each) ? 'dependentRequired' : 'dependentSchemas'
          const rule = Array.isArray(each) ? namesOf(each, key, where) : child(each, `${key}/${name}`)
          copy[to] = { ...copy[to] as Json | undefined, [name]: rule }
        }
        return
      case 'items':
        if (Array.isArray(value)) copy.prefixItems = all()
        else copy.items = child(value, key, items)
        return
      case 'additionalItems':
        if (!Array.isArray(schema.items)) {
          throw new SchemaFault(`${where} has additionalItems, which says nothing where items is no list`)
        }
        copy.items = child(value, key, items)
        return
      case 'prefixItems':
        copy[key] = all()
        return
      case 'contains':
        copy[key] = child(value, key, items)
        return
      case 'uniqueItems':
        if (value !== true) return
        this.isRecalling = true
        tests.push({
          test: (list) => !Array.isArray(list) || isUnique(list, this.texts),
          says: 'must have no two equal items'
        })
        return
      default:
        throw new SchemaFault(
          `${where} has the keyword "${key}", which is not checked: remove it, or say the same with keywords of JSON Schema`
        )
    }
  }

  // Texts

  #text (schema: Json, tests: JsonTest[], where: string, times: number): void {
    const { pattern, format, maxLength } = schema
    if (pattern !== undefined) {
      const [source, flags] = pattern instanceof RegExp ? [pattern.source, pattern.flags] : [pattern, 'u'] as const
      if (typeof source !== 'string') throw new SchemaFault(`${where} has a pattern that is no text`)
      if (typeof maxLength !== 'number') throw noLength(where)
      // The keyword counts code points; an expression without the flag goes over units, of which these are up to two.
      const expression = this.#work.prove(source, flags, where, /[uv]/.test(flags) ? maxLength : 2 * maxLength, times)
      tests.push({
        test: (value) => typeof value !== 'string' || (value.length <= 2 * maxLength && expression.test(value)),
        says: `must match pattern "${source}"`
      })
    }
    if (format === undefined) return
    if (typeof format !== 'string') throw new SchemaFault(`${where} has a format that is no text`)
    const types = ([] as unknown[]).concat(schema.type)
    const says = `must match format "${format}"`
    const number = NUMBERS.get(format)
    if (number !== undefined) {
      if (!types.every((type) => type === 'integer' || type === 'number' || type === 'null')) {
        throw new SchemaFault(`${where} has the format "${format}", which is one of numbers, on another type`)
      }
      tests.push({ test: (value) => typeof value !== 'number' || number(value), says })
      return
    }
    if (!types.includes('string')) {
      throw new SchemaFault(`${where} has the format "${format}", which is one of texts: add type: 'string'`)
    }
    if (UNCHECKED.has(format)) return
    const test = this.#format(format, where, maxLength as number | undefined, times)
    tests.push({ test: (value) => typeof value !== 'string' || test(value), says })
  }

  #format (name: string, where: string, maxLength: number | undefined, times: number): (text: string) => boolean {
    const known = this.#work.format(name, where, maxLength, times)
    if (known !== undefined) return known
    const own = this.#dialect.format(name)
    if (own === undefined) throw unknownFormat(name, where, this.#dialect.formatFix)
    if (maxLength === undefined) {
      throw new SchemaFault(
        `${where} has the format "${name}" of the app and no maxLength: add maxLength, a check that cannot be looked into is only safe on short strings`
      )
    }
    return (text) => text.length <= 2 * maxLength && own(text)
  }

  // Unions

  #union (key: 'anyOf' | 'oneOf', alternatives: readonly Schema[], { schema, copy, tests, where, times }: Place): void {
    const all = schema[key] as unknown[]
    const isSmall = all.length <= FEW
    // A test in their place would hide from other keywords what the alternatives have looked at.
    if (!isSmall && !this.#references.isUnevaluated) {
      const words = all.map((each) => isRecord(each) && Object.hasOwn(each, 'const') ? each.const : undefined)
      if (words.every((word) => word !== undefined && typeof word !== 'object') && all.every(isConstant)) {
        tests.push(wordsTest(words))
        return
      }
      const name = discriminatorOf(all)
      if (name !== undefined) {
        const parts = new Map(all.map((each, index) => [
          ((each as Json).properties as Record<string, Json>)[name]!.const,
          this.#part(alternatives[index])
        ]))
        const find = (value: unknown): Part<Schema> | undefined => isRecord(value) ? parts.get(value[name]) : undefined
        tests.push({
          test: (value) => find(value)?.check!(value) ?? false,
          says: 'must be one of the alternatives',
          partOf: find
        })
        return
      }
    }
    const fix = 'give each of them type: \'object\' and a required property with a const of its own'
    this.#work.tries(all.length, where, times, fix)
    copy[key] = alternatives
  }
}

interface Place {
  readonly schema: Json
  /** The schema as it was given, by which references are found. */
  readonly source: Json
  readonly copy: Json
  readonly tests: JsonTest[]
  readonly path: string
  readonly where: string
  readonly times: number
  /** How many items of arrays this part may check. */
  readonly items: number
}

/** Formats of numbers, as Fastify's routes know them. */
const NUMBERS: ReadonlyMap<string, (value: number) => boolean> = new Map([
  ['int32', (value: number) => Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31],
  ['int64', Number.isInteger],
  ['float', Number.isFinite],
  ['double', Number.isFinite]
])

function listOf (value: unknown, key: string, where: string): unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw new SchemaFault(`${where}: ${key} is a list of at least one`)
  return value
}

function entriesOf (value: unknown, key: string, where: string): Array<[string, unknown]> {
  if (!isRecord(value)) throw new SchemaFault(`${where}: ${key} is an object of schemas`)
  return Object.entries(value)
}

function namesOf (value: unknown, key: string, where: string): string[] {
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value
  throw new SchemaFault(`${where}: ${key} is a list of names`)
}

function wordsTest (words: readonly unknown[]): JsonTest {
  const values = new Set(words)
  return { test: (value: unknown) => values.has(value), says: 'must be equal to one of the allowed values' }
}

function isConstant (schema: unknown): boolean {
  return Object.keys(schema as Json).every((key) => key === 'const' || key === 'type' || ANNOTATIONS.has(key))
}

/** Finds a property that every alternative requires as a constant, each with another value. */
function discriminatorOf (alternatives: readonly unknown[]): string | undefined {
  const constantsOf = (each: unknown): Map<string, unknown> => {
    if (!isRecord(each) || each.type !== 'object' || !isRecord(each.properties) || !Array.isArray(each.required)) {
      return new Map()
    }
    const { required } = each
    return new Map(Object.entries(each.properties)
      .filter(([name, property]) => required.includes(name) && isRecord(property) && Object.hasOwn(property, 'const'))
      .map(([name, property]) => [name, (property as Json).const]))
  }
  const constants = alternatives.map(constantsOf)
  return [...constants[0]!.keys()].find((name) => constants.every((each) => each.has(name)) &&
    new Set(constants.map((each) => each.get(name))).size === alternatives.length)
}

/** Order in which properties are checked: constants first, then single values, then texts, then the rest. */
function rankOf (property: unknown): number {
  if (!isRecord(property)) return 2
  if (Object.hasOwn(property, 'const') || Object.hasOwn(property, 'enum')) return 0
  if (['boolean', 'integer', 'number', 'null'].includes(property.type as string)) return 1
  return property.type === 'string' ? 1.5 : 2
}

/** Whether any value can match, as far as the schema says so without following references. */
function canMatch (schema: unknown): boolean {
  if (typeof schema === 'boolean') return schema
  if (!isRecord(schema)) return true
  const { not, properties, required, allOf, anyOf, items, minItems } = schema
  if (not === true || (isRecord(not) && Object.keys(not).length === 0)) return false
  if (isRecord(properties) && Array.isArray(required) &&
    required.some((name: string) => Object.hasOwn(properties, name) && !canMatch(properties[name]))) {
    return false
  }
  if (Array.isArray(allOf) && !allOf.every(canMatch)) return false
  if (Array.isArray(anyOf) && !anyOf.some(canMatch)) return false
  const isFilled = typeof minItems === 'number' && minItems > 0
  return !isFilled || Array.isArray(items) || items === undefined || canMatch(items)
}
