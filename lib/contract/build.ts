/** A property that may be missing. */
export interface Optional<S> {
  /** The schema of the property where it is there. */
  readonly optional: S
}

/** What every schema may say to its readers. It refuses nothing. */
export interface Notes {
  /** A name. */
  readonly title?: string
  /** What it is for. */
  readonly description?: string
}

/** Bounds of a string, in characters. An expression is only accepted on strings of a bounded length. */
export type StringRules = Notes & {
  /** The least length. @default 0 */
  readonly minLength?: number
} & ({
  /** The greatest length. @default none */
  readonly maxLength?: number
  /** A format of Fastify's routes, such as `email`, `uuid` or `date-time`. @default none */
  readonly format?: string
  /** Without a greatest length there is none. */
  readonly pattern?: never
} | {
  /** The greatest length. */
  readonly maxLength: number
  /** An expression that the string has to match. */
  readonly pattern: string
})

/** Bounds of a number. */
export interface NumberRules extends Notes {
  /** The least value. @default none */
  readonly minimum?: number
  /** The greatest value. @default none */
  readonly maximum?: number
}

/** Bounds of an array. */
export interface ArrayRules extends Notes {
  /** The least number of items. @default 0 */
  readonly minItems?: number
  /** The greatest number of items. @default none */
  readonly maxItems?: number
}

/** What an object may have besides its properties. */
export interface ObjectRules extends Notes {
  /** `false` refuses other properties. @default true */
  readonly additionalProperties?: boolean
}

/** A schema by its type alone, which is all that the compiler has to know of it. */
export interface OfType<T extends string> {
  /** The type. */
  readonly type: T
}
type Names<P> = { [K in keyof P]: P[K] extends Optional<unknown> ? never : K }[keyof P]

/** A string. */
export function string (rules?: StringRules): OfType<'string'> { return { type: 'string', ...rules } }
/** A number. */
export function number (rules?: NumberRules): OfType<'number'> { return { type: 'number', ...rules } }
/** A number without a fraction. */
export function integer (rules?: NumberRules): OfType<'integer'> { return { type: 'integer', ...rules } }
/** `true` or `false`. */
export function boolean (notes?: Notes): OfType<'boolean'> { return { type: 'boolean', ...notes } }

/** One of these values. */
export function oneOf<const V extends ReadonlyArray<string | number | boolean | null>> (...values: V): {
  /** The values. */
  readonly enum: V
} {
  return { enum: values }
}

/** An array of items of one schema. */
export function array<const S> (items: S, rules?: ArrayRules): OfType<'array'> & {
  /** The schema of each item. */
  readonly items: S
} {
  return { type: 'array', items, ...rules }
}

/** An object of any names and values of one schema. */
export function record<const S> (values: S, notes?: Notes): OfType<'object'> & {
  /** The schema of each value. */
  readonly additionalProperties: S
} {
  return { type: 'object', additionalProperties: values, ...notes }
}

/** What fits one of these schemas. */
export function union<const S extends readonly unknown[]> (...schemas: S): {
  /** The schemas. */
  readonly anyOf: S
} {
  return { anyOf: schemas }
}

/** A property that may be missing, within `object`. */
export function optional<const S> (schema: S): Optional<S> { return { optional: schema } }

/** An object with these properties, all of them required that are not `optional`. */
export function object<const P extends Readonly<Record<string, object>>> (
  properties: P,
  rules?: ObjectRules
): OfType<'object'> & {
  /** The schemas of its properties. */
  readonly properties: { readonly [K in keyof P]: P[K] extends Optional<infer S> ? S : P[K] }
  /** The properties that have to be there. */
  readonly required: ReadonlyArray<Names<P>>
}
export function object (given: Readonly<Record<string, object>>, rules?: ObjectRules): unknown {
  const required: string[] = []
  const properties = Object.fromEntries(Object.entries(given).map(([name, each]) => {
    if ('optional' in each) return [name, each.optional]
    required.push(name)
    return [name, each]
  }))
  return { type: 'object', properties, required, ...rules }
}
