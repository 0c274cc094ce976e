import { FormatRegistry, Kind, TransformKind, TypeRegistry, type TSchema } from '@sinclair/typebox'
import { SchemaFault } from './checker.js'
import { UNCHECKED } from './formats.js'
import { isUnique, partOf as newPart, within, type Part as PartOfSchema } from './parts.js'
import { checkBounds, checkCarried, FEW, itemsOf, noLength, unknownFormat, Work } from './work.js'

type Part = PartOfSchema<TSchema>

/**
 * A test of this library in place of a part that TypeBox would check more slowly than needed, or before its length is
 * known.
 */
export interface Test extends TSchema {
  readonly test: (value: unknown) => boolean
  readonly says: string
  /** The part that the value is to fit, which can list what is wrong with it. */
  readonly partOf?: PartOf
}
type PartOf = (value: unknown) => Part | undefined
const TEST = 'fastify-realtime:test'
if (!TypeRegistry.Has(TEST)) TypeRegistry.Set<Test>(TEST, ({ test }, value) => test(value))

export function isTest (schema: TSchema): schema is Test { return schema[Kind] === TEST }

/** A schema that this file makes: TypeBox has the phantom types of its own among what an object must have. */
function made<T extends TSchema> (schema: { readonly [Kind]: string } & Record<string, unknown>): T {
  // The phantom types exist for the compiler alone.
  return schema as unknown as T
}

function testing (test: Test['test'], says: string, partOf?: PartOf): Test {
  return made({ [Kind]: TEST, test, says, ...(partOf === undefined ? {} : { partOf }) })
}

/**
 * Intersections that only this file has built. A violation of one of their parts is reported without one for the
 * intersection.
 */
const joints = new WeakSet<object>()
export function isJoint (schema: TSchema): boolean { return joints.has(schema) }

function both (schema: TSchema, ...tests: Test[]): TSchema {
  const joint = made({ [Kind]: 'Intersect', allOf: [schema, ...tests] })
  joints.add(joint)
  return joint
}

export interface Prepared {
  readonly schema: TSchema
  readonly parts: readonly Part[]
  /** Forgets the results for the value that was checked last. */
  readonly forget: (() => void) | undefined
  /** Number of parts of the schema. */
  readonly size: number
}

/** What each kind checks beside its type. */
const CHECKED: ReadonlyMap<string, readonly string[]> = new Map(Object.entries({
  String: ['minLength', 'maxLength', 'pattern', 'format'],
  RegExp: ['minLength', 'maxLength', 'format'],
  TemplateLiteral: ['minLength', 'maxLength', 'pattern', 'format'],
  Number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  Integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  Object: ['properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties'],
  Record: ['patternProperties', 'additionalProperties', 'minProperties', 'maxProperties'],
  Array: ['items', 'minItems', 'maxItems', 'uniqueItems', 'contains', 'minContains', 'maxContains'],
  Tuple: ['items', 'additionalItems', 'minItems', 'maxItems'],
  Intersect: ['allOf', 'unevaluatedProperties'],
  Union: ['anyOf'],
  Literal: ['const'],
  Not: ['not'],
  Ref: ['$ref'],
  This: ['$ref'],
  Import: ['$ref'],
  Any: [],
  Boolean: [],
  Never: ['not'],
  Null: [],
  Unknown: []
}))
/** Everything in JSON Schema that refuses a value. */
const ASSERTIONS = new Set([
  ...[...CHECKED.values()].flat(), 'enum', 'oneOf', 'if', 'then', 'else', 'propertyNames', 'prefixItems', 'dependencies',
  'dependentRequired', 'dependentSchemas', 'unevaluatedItems'
])
/** Keywords whose values are data and not schemas. */
const VALUES = new Set(['const', 'enum', 'default', 'examples', 'required'])

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf (schema: TSchema): string { return schema[Kind] }

type Scope = ReadonlyMap<string, Part>

/**
 * Makes a schema safe for input from strangers: its check takes milliseconds, whatever a message within the limit
 * holds.
 *
 * Expressions are proved, and run only after the length of the text was checked. A part that refers to itself is
 * checked once for each value. The function refuses what JSON cannot carry, what TypeBox cannot check and what no value
 * can match.
 *
 * @param limit bytes of a message
 * @throws SchemaFault that says where the schema is unsafe or cannot work
 */
export function prepare (schema: unknown, limit: number): Prepared {
  const preparing = new Preparing(limit)
  const prepared = preparing.visit(schema, '', new Map(), 1)
  if (!canMatch(schema as TSchema)) {
    throw new SchemaFault('nothing can match the schema: it is Type.Never() where a value has to be')
  }
  const { parts, texts, size, isRecalling } = preparing
  const forget = (): void => {
    for (const { seen } of parts) seen.clear()
    texts.clear()
  }
  return { schema: prepared, parts, size, forget: isRecalling ? forget : undefined }
}

class Preparing {
  readonly parts: Part[] = []
  /** JSON texts of values in arrays of unique items, so that a value inside another one is not written again. */
  readonly texts = new Map<object, string>()
  size = 0
  isRecalling = false
  readonly #work: Work

  constructor (limit: number) {
    this.#work = new Work(limit)
  }

  /**
   * @param times how many values of one message this part may check
   * @param isNamed whether TypeBox reads the names of properties from this part, for an intersection around it that
   *   allows no others
   */
  visit (schema: unknown, path: string, scope: Scope, times: number, isNamed = false): TSchema {
    this.size++
    const where = path === '' ? 'the schema' : path
    if (!isRecord(schema)) throw new SchemaFault(`${where} is no schema; build it with TypeBox's Type`)
    if ('~kind' in schema) {
      throw new SchemaFault(
        `${where} is a schema of the package "typebox" 1.x, which this version does not know: build it with Type of "@sinclair/typebox" 0.34 (npm i @sinclair/typebox@0.34)`
      )
    }
    if (!(Kind in schema)) {
      throw new SchemaFault(`${where} is not a schema that can be compiled; build it with TypeBox's Type`)
    }
    // Whatever has a kind is a schema; that it can be compiled is found out below.
    const own = schema as unknown as TSchema
    const kind = kindOf(own)
    if (TransformKind in own) {
      throw new SchemaFault(
        `${where} is a Type.Transform, which is not applied to messages and events: declare what is sent, and change it in the handler`
      )
    }
    checkCarried(kind, where)
    checkBounds(own, where)
    checkTypes(own, where)
    if (typeof own.$id !== 'string' || kind === 'Import') return this.#convert(own, path, scope, times, isNamed)
    const part = this.#part()
    part.schema = this.#convert(own, path, new Map(scope).set(own.$id, part), Infinity, isNamed)
    return part.schema
  }

  #part (schema?: TSchema): Part {
    const part = newPart(schema)
    this.parts.push(part)
    return part
  }

  #convert (schema: TSchema, path: string, scope: Scope, times: number, isNamed: boolean): TSchema {
    const { $id, ...rest } = schema
    const copy = { ...rest } as TSchema
    this.#foreign(schema, path)
    checkKeywords(schema, path === '' ? 'the schema' : path)
    const child = (value: unknown, key: string, many = times, hasNames = false): TSchema => this.visit(
      value,
      `${path}/${key}`,
      scope,
      many,
      hasNames
    )
    switch (kindOf(schema)) {
      case 'String': return this.#text(copy, path, times)
      case 'TemplateLiteral':
        return this.#text(made({ ...copy, [Kind]: 'String', type: 'string' }), path, times)
      case 'RegExp':
        return this.#text(
          made({ ...copy, [Kind]: 'String', type: 'string', pattern: schema.source, flags: schema.flags }),
          path,
          times
        )
      case 'Object': return this.#object(copy, child)
      case 'Record': return this.#record(copy, path, child)
      case 'Array': return this.#array(copy, child, times)
      case 'Tuple':
        if (Array.isArray(schema.items)) {
          copy.items = schema.items.map((item: unknown, index) => child(item, `items/${index}`))
        }
        return copy
      case 'Intersect': {
        const { unevaluatedProperties: others } = schema as { unevaluatedProperties?: unknown }
        const hasNames = isNamed || others === false || isRecord(others)
        copy.allOf = (schema.allOf as unknown[]).map((each, index) => child(each, `allOf/${index}`, times, hasNames))
        if (isRecord(schema.unevaluatedProperties)) {
          copy.unevaluatedProperties = child(schema.unevaluatedProperties, 'unevaluatedProperties', Infinity)
        }
        return copy
      }
      case 'Union':
        return this.#union(copy, path, (value, key) => child(value, key, times, isNamed), times, isNamed)
      case 'Not':
        copy.not = child(schema.not, 'not')
        return copy
      case 'This':
      case 'Ref': {
        const part = scope.get(schema.$ref as string)
        if (part === undefined) {
          throw new SchemaFault(
            `${path === '' ? 'the schema' : path} refers to "${String(schema.$ref)}", which is not within it: use Type.Recursive or Type.Module`
          )
        }
        this.isRecalling = true
        return testing((value) => within(part, value), 'Expected a value of its kind', () => part)
      }
      case 'Import': {
        const defs = schema.$defs as Record<string, TSchema>
        const all = new Map(scope)
        for (const name of Object.keys(defs)) all.set(name, this.#part())
        for (const [name, definition] of Object.entries(defs)) {
          all.get(name)!.schema = this.visit(definition, `${path}/$defs/${name}`, all, Infinity, isNamed)
        }
        return all.get(schema.$ref as string)!.schema!
      }
      case 'Any': case 'Boolean': case 'Integer': case 'Literal': case 'Never': case 'Null': case 'Number': case 'Unknown':
        return copy
      default:
        if (TypeRegistry.Has(kindOf(schema))) return schema
        throw new SchemaFault(
          `${path === '' ? 'the schema' : path} is of the kind "${kindOf(schema)}", which nobody can check: register it with TypeRegistry.Set, or use another type`
        )
    }
  }

  // Texts

  #text ({ pattern, format, flags, ...rest }: TSchema, path: string, times: number): TSchema {
    const where = path === '' ? 'the schema' : path
    const text = rest as TSchema
    const { maxLength } = text
    const tests: Test[] = []
    if (typeof pattern === 'string') {
      if (typeof maxLength !== 'number') throw noLength(where)
      const expression = this.#work.prove(pattern, String(flags ?? ''), where, maxLength, times)
      tests.push(testing(
        (value) => typeof value === 'string' && value.length <= maxLength && expression.test(value),
        `Expected string to match '${pattern}'`
      ))
    }
    if (typeof format === 'string' && !UNCHECKED.has(format)) {
      tests.push(this.#format(format, where, maxLength as number | undefined, times))
    }
    return tests.length === 0 ? text : both(text, ...tests)
  }

  #format (name: string, where: string, maxLength: number | undefined, times: number): Test {
    const says = `Expected string to match '${name}' format`
    // A format that the application has registered comes first, as everywhere in TypeBox.
    const own = FormatRegistry.Get(name)
    if (own !== undefined) {
      if (maxLength === undefined) {
        throw new SchemaFault(
          `${where} has the format "${name}" of the app's FormatRegistry and no maxLength: add maxLength, a check that cannot be looked into is only safe on short strings`
        )
      }
      return testing((value) => typeof value === 'string' && value.length <= maxLength && own(value), says)
    }
    const test = this.#work.format(name, where, maxLength, times)
    if (test === undefined) throw unknownFormat(name, where, 'register it with FormatRegistry.Set, or ')
    return testing(test, says)
  }

  // Structures

  #object (copy: TSchema, child: (value: unknown, key: string, many?: number) => TSchema): TSchema {
    const properties = Object.entries(
      copy.properties as Record<string, unknown>
    ).map(([name, property]) => [name, child(property, `properties/${name}`), rankOf(property)] as const)
    // The property that tells the alternatives of a union apart is checked before properties with large values.
    copy.properties = Object.fromEntries(properties.sort(([, , a], [, , b]) => a - b))
    if (isRecord(copy.additionalProperties)) {
      copy.additionalProperties = child(copy.additionalProperties, 'additionalProperties', Infinity)
    }
    return copy
  }

  #record (copy: TSchema, path: string, child: (value: unknown, key: string, many?: number) => TSchema): TSchema {
    copy.patternProperties = Object.fromEntries(Object.entries(
      copy.patternProperties as Record<string, unknown>
    ).map(([pattern, value]) => {
      // All property names of a message together are no longer than the message.
      this.#work.prove(pattern, '', `${path}/patternProperties`, this.#work.limit, 1)
      return [pattern, child(value, 'patternProperties', Infinity)]
    }))
    if (isRecord(copy.additionalProperties)) {
      copy.additionalProperties = child(copy.additionalProperties, 'additionalProperties', Infinity)
    }
    return copy
  }

  #array (copy: TSchema, child: (value: unknown, key: string, many?: number) => TSchema, times: number): TSchema {
    const many = itemsOf(copy.maxItems, times)
    const { counted } = this.#work
    const { uniqueItems, ...rest } = copy
    const array = rest as TSchema
    array.items = child(copy.items, 'items', many)
    if (isRecord(copy.contains)) array.contains = child(copy.contains, 'contains', many)
    const isCounted = many < Infinity && this.#work.counted > counted
    const whole = uniqueItems === true ? this.#unique(array) : array
    return isCounted ? this.#upTo(copy.maxItems as number, whole) : whole
  }

  #unique (array: TSchema): TSchema {
    this.isRecalling = true
    return both(
      array,
      testing((value) => Array.isArray(value) && isUnique(value, this.texts), 'Expected array elements to be unique')
    )
  }

  /** Looks into no array that is too long. TypeBox would, to say what else is wrong with it. */
  #upTo (most: number, array: TSchema): TSchema {
    const part = this.#part(array)
    const isLong = (value: unknown): boolean => Array.isArray(value) && value.length > most
    return testing(
      (value) => !isLong(value) && part.check!(value),
      `Expected array length to be less or equal to ${most}`,
      (value) => isLong(value) ? undefined : part
    )
  }

  #union (
    copy: TSchema,
    path: string,
    child: (value: unknown, key: string) => TSchema,
    times: number,
    isNamed: boolean
  ): TSchema {
    const all = copy.anyOf as TSchema[]
    if (all.length > 4 && all.every((each) => isRecord(each) && each[Kind] === 'Literal')) {
      const values = new Set(all.map(({ const: value }) => value as unknown))
      return testing((value) => values.has(value), 'Expected union value')
    }
    copy.anyOf = all.map((each, index) => child(each, `anyOf/${index}`))
    if (all.length <= FEW) return copy
    const name = discriminatorOf(all)
    // A test in place of the union would hide the names of its properties, and no value would fit any more.
    if (name === undefined || isNamed) {
      const fix = name === undefined
        ? 'give each of them a required property of Type.Literal with a value of its own'
        : 'take unevaluatedProperties from the intersection around them'
      this.#work.tries(all.length, path === '' ? 'the schema' : path, times, fix)
      return copy
    }
    const parts = new Map(all.map((each, index) => [
      (each.properties as Record<string, TSchema>)[name]!.const as unknown,
      this.#part((copy.anyOf as TSchema[])[index])
    ]))
    const partOf = (value: unknown): Part | undefined => isRecord(value) ? parts.get(value[name]) : undefined
    return testing((value) => partOf(value)?.check!(value) ?? false, 'Expected union value', partOf)
  }

  /**
   * Looks through the keywords of JSON Schema that TypeBox does not check. An expression in one of them is published
   * with the schema, and another program may run it.
   */
  #foreign (schema: object, path: string): void {
    const { patternProperties } = schema as { patternProperties?: unknown }
    if (isRecord(patternProperties) && !(Kind in schema && schema[Kind] === 'Record')) {
      for (const name of Object.keys(patternProperties)) {
        this.#work.prove(name, '', `${path}/patternProperties`, this.#work.limit, 1)
      }
    }
    for (const [key, value] of Object.entries(schema)) {
      if (VALUES.has(key) || typeof value !== 'object' || value === null || Kind in value) continue
      if (key === 'properties' || key === '$defs' || key === 'definitions' || key === 'patternProperties' ||
        Array.isArray(value)) {
        for (const [name, each] of Object.entries(value as object)) {
          if (isRecord(each) && !(Kind in each)) this.#plain(each, `${path}/${key}/${name}`)
        }
      } else this.#plain(value as Record<string, unknown>, `${path}/${key}`)
    }
  }

  #plain (schema: Record<string, unknown>, path: string): void {
    const { pattern, maxLength } = schema
    if (typeof pattern === 'string') {
      if (typeof maxLength !== 'number') throw noLength(path)
      this.#work.prove(pattern, '', path, maxLength, Infinity)
    }
    this.#foreign(schema, path)
  }
}

/** @throws SchemaFault for a keyword that would refuse values, if only TypeBox knew it */
function checkKeywords (schema: TSchema, where: string): void {
  const checked = CHECKED.get(kindOf(schema))
  const unchecked = checked && Object.keys(schema).find((key) => ASSERTIONS.has(key) && !checked.includes(key))
  if (unchecked !== undefined) {
    throw new SchemaFault(
      `${where} has the keyword "${unchecked}", which TypeBox does not check on Type.${kindOf(schema)}: build it of other types, or declare the schema as plain JSON Schema`
    )
  }
}

/** @throws SchemaFault for an intersection of several types */
function checkTypes (schema: TSchema, where: string): void {
  if (kindOf(schema) === 'Intersect') {
    const types = new Set((schema.allOf as TSchema[])
      .map((each) => isRecord(each) ? each.type as unknown : undefined)
      .filter((type) => typeof type === 'string')
      .map((type) => type === 'integer' ? 'number' : type))
    if (types.size > 1) {
      throw new SchemaFault(`${where}: nothing can match all of the types ${[...types].join(' and ')}`)
    }
  }
}

/** Whether any value can match, as far as the schema says so: nothing matches where `Type.Never()` is required. */
function canMatch (schema: TSchema): boolean {
  switch (kindOf(schema)) {
    case 'Never': return false
    case 'Object':
      return Object.entries(
        schema.properties as Record<string, TSchema>
      ).every(([name, property]) => !((schema.required ?? []) as string[]).includes(name) || canMatch(property))
    case 'Tuple': return ((schema.items ?? []) as TSchema[]).every(canMatch)
    case 'Array': return !((schema.minItems ?? 0) > 0) || canMatch(schema.items as TSchema)
    case 'Intersect': return (schema.allOf as TSchema[]).every(canMatch)
    case 'Union': return (schema.anyOf as TSchema[]).some(canMatch)
    default: return true
  }
}

/**
 * Why the newest values cannot be kept by this property; `undefined` when they can, or when the schema does not show
 * its properties.
 */
export function keyFault (schema: TSchema, key: string): string | undefined {
  switch (kindOf(schema)) {
    case 'Object': {
      const { properties, required = [] } = schema as TSchema & {
        properties: Record<string, TSchema>
        required?: string[]
      }
      if (!Object.hasOwn(properties, key)) {
        return `which its schema does not have (it has ${Object.keys(properties).join(', ') || 'no properties'})`
      }
      if (!required.includes(key)) {
        return 'which is optional: make it required, an event without it would replace nothing'
      }
      return isKeyable(properties[key]!)
        ? undefined
        : 'which is neither a string nor a number: keep the newest by a property that is'
    }
    case 'Union':
      return (schema.anyOf as TSchema[]).map((each) => keyFault(each, key)).find((fault) => fault !== undefined)
    case 'Intersect': {
      const faults = (schema.allOf as TSchema[]).map((each) => keyFault(each, key))
      return faults.includes(undefined) ? undefined : faults[0]
    }
    case 'Array': case 'Boolean': case 'Integer': case 'Literal': case 'Null': case 'Number': case 'String': case 'Tuple': case 'TemplateLiteral': case 'RegExp':
      return 'and its schema is no object with properties'
    default: return undefined
  }
}

function isKeyable (schema: TSchema): boolean {
  switch (kindOf(schema)) {
    case 'Array': case 'Boolean': case 'Null': case 'Object': case 'Record': case 'Tuple': return false
    case 'Literal': return typeof schema.const !== 'boolean'
    case 'Union': return (schema.anyOf as TSchema[]).every(isKeyable)
    default: return true
  }
}

/**
 * Order in which properties are checked, the cheapest first: one comparison, then other single values, then texts, then
 * the rest.
 */
function rankOf (property: unknown): number {
  const { [Kind]: kind, anyOf } = property as TSchema
  if (kind === 'Literal') return 0
  if (kind === 'Union') return (anyOf as TSchema[]).every((each) => isRecord(each) && each[Kind] === 'Literal') ? 0 : 2
  return kind === 'Boolean' || kind === 'Integer' || kind === 'Number' || kind === 'Null'
    ? 1
    : kind === 'String' || kind === 'RegExp' || kind === 'TemplateLiteral' ? 1.5 : 2
}

/** Finds a property that every alternative requires as a literal, each with another value. */
function discriminatorOf (alternatives: readonly TSchema[]): string | undefined {
  if (!alternatives.every((each) => kindOf(each) === 'Object')) return undefined
  const literalsOf = ({ properties, required = [] }: TSchema): string[] =>
    Object.entries(properties as Record<string, TSchema>)
      .filter(([name, property]) => kindOf(property) === 'Literal' && (required as string[]).includes(name))
      .map(([name]) => name)
  return literalsOf(alternatives[0]!).find((name) => {
    const values = alternatives.map((each) => literalsOf(each).includes(name)
      ? (each.properties as Record<string, TSchema>)[name]!.const as unknown
      : undefined)
    return !values.includes(undefined) && new Set(values).size === values.length
  })
}
