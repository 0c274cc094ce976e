/** A schema of `@sinclair/typebox` 0.34, known by its phantom types, so that two copies of it do not clash. */
export interface TypeBoxSchema {
  /** The type of a value that fits, as TypeBox keeps it. It exists for the compiler alone. */
  readonly static: unknown
  /** The types that `this` of a recursive schema stands for, as TypeBox keeps them. */
  readonly params: unknown[]
}

/** A schema that follows Standard Schema v1: of zod 4, valibot, arktype and others. */
export interface StandardSchema<Input = unknown, Output = unknown> {
  /** What the standard asks a schema for. */
  readonly '~standard': {
    /** The version of the standard. */
    readonly version: 1
    /** The library. */
    readonly vendor: string
    /** Checks a value, and may change it. */
    readonly validate: (value: unknown, ...rest: never[]) => unknown
    /** What it takes and what it makes of it. It exists for the compiler alone. */
    readonly types?: {
      /** What it takes. */
      readonly input: Input
      /** What it makes of it. */
      readonly output: Output
    } | undefined
  }
}

/**
 * A JSON Schema of draft 7 to 2020-12, or a schema of the package `typebox` 1.x, which is one. Types are inferred from
 * what stands in it as a literal; of anything else the type is `unknown`.
 */
export interface JsonSchema {
  /** The type of a value, or several. */
  readonly type?: string | readonly string[]
  /** Schemas of the properties, by name. */
  readonly properties?: object
  /** Names of the properties that have to be there. */
  readonly required?: readonly string[] | undefined
  /** Schemas of properties, by expressions for their names. */
  readonly patternProperties?: object
  /** Schema of the other properties. */
  readonly additionalProperties?: unknown
  /** Schema of the items, or of draft 7 a list of them. */
  readonly items?: unknown
  /** Schemas of the first items. */
  readonly prefixItems?: readonly unknown[]
  /** Schemas of which one at least has to fit. */
  readonly anyOf?: readonly unknown[]
  /** Schemas of which exactly one has to fit. */
  readonly oneOf?: readonly unknown[]
  /** Schemas that all have to fit. */
  readonly allOf?: readonly unknown[]
  /** Schema that must not fit. */
  readonly not?: unknown
  /** The only value. */
  readonly const?: unknown
  /** The only values. */
  readonly enum?: readonly unknown[]
  /** Where the schema stands that is meant. */
  readonly $ref?: string
  /** How the package `typebox` 1.x keeps what a schema is. */
  readonly '~kind'?: string
  /** How the package `typebox` 1.x keeps a type that was said and not built. */
  readonly '~unsafe'?: unknown
  /** What has data is no schema. */
  readonly data?: never
}

/** What a schema may be built with: TypeBox 0.34 or 1.x, a library of Standard Schema, or JSON Schema as it is. */
export type SchemaLike = TypeBoxSchema | StandardSchema | JsonSchema

/** What a Standard Schema keeps for the compiler. */
type Types<S> = S extends {
  /** What the standard asks a schema for. */
  readonly '~standard': {
    /** What it takes and what it makes of it. */
    readonly types?: infer T
  }
} ? NonNullable<T> : never

/** The type of a value that fits a schema, as the schema has made it. */
export type Infer<S extends SchemaLike> = S extends StandardSchema
  ? Types<S> extends {
    /** What it makes. */
    readonly output: infer O
  } ? O : unknown
  : S extends TypeBoxSchema ? OfTypeBox<S> : OfJson<S>

/** The type of what a schema takes. */
export type InferInput<S extends SchemaLike> = S extends StandardSchema
  ? Types<S> extends {
    /** What it takes. */
    readonly input: infer I
  } ? I : unknown
  : Infer<S>

type OfTypeBox<S extends TypeBoxSchema> = (S & {
  /** No parameter is bound: what a schema means by itself. */
  params: []
})['static']

/**
 * The type of data that its schema changes: what is given, and what arrives. It is structural, so that two copies of
 * this package do not clash.
 */
export interface Varied<Given, Made> {
  /** Carries both types for the compiler; it is never there at run time. */
  readonly '~varied': [Given, Made]
}

/** The type of a schema's data, or both of its types where the schema changes data. */
export type Slot<S extends SchemaLike> = S extends StandardSchema
  ? [InferInput<S>, Infer<S>] extends [Infer<S>, InferInput<S>] ? Infer<S> : Varied<InferInput<S>, Infer<S>>
  : Infer<S>

/** The type of what is given to the schema of a slot. */
export type Given<T> = Part<T, 0>
/** The type of what the schema of a slot makes. */
export type Made<T> = Part<T, 1>
type Part<T, I extends 0 | 1> = 0 extends 1 & T
  ? T
  : [T] extends [never] ? T : [T] extends [Varied<infer G, infer M>] ? [G, M][I] : T

// JSON Schema

/**
 * References that may follow each other outside of properties, where the compiler would follow them for ever. What is
 * behind the last of them is `unknown`.
 */
type TooDeep = [0, 0, 0, 0]

/** The type of a value that fits a JSON Schema. */
type OfJson<S, Root = S, Depth extends 0[] = []> = S extends boolean
  ? S extends false ? never : unknown
  : S extends {
    /** A type that was said. */
    readonly '~unsafe': infer T
  }
    ? T
    : S extends {
      /** A kind that no value has. */
      readonly '~kind': 'Never'
    }
      ? never
      : Const<S> & Enum<S> & AnyOf<S, RootOf<S, Root>, Depth> & OneOf<S, RootOf<S, Root>, Depth> &
      AllOf<S, RootOf<S, Root>, Depth> & Ref<S, RootOf<S, Root>, Depth> & Typed<S, RootOf<S, Root>, Depth>

type RootOf<S, Root> = S extends { readonly $defs: object } | { readonly definitions: object } ? S : Root
type Const<S> = S extends { readonly const: infer C } ? C : unknown
type Enum<S> = S extends { readonly enum: ReadonlyArray<infer V> } ? V : unknown
type AnyOf<S, Root, Depth extends 0[]> = S extends { readonly anyOf: infer A extends readonly unknown[] }
  ? Each<A, Root, Depth>
  : unknown
type OneOf<S, Root, Depth extends 0[]> = S extends { readonly oneOf: infer A extends readonly unknown[] }
  ? Each<A, Root, Depth>
  : unknown
type Each<A extends readonly unknown[], Root, Depth extends 0[]> = { [K in keyof A]: OfJson<A[K], Root, Depth> }[number]
type AllOf<S, Root, Depth extends 0[]> = S extends { readonly allOf: infer A extends readonly unknown[] }
  ? All<A, Root, Depth>
  : unknown
type All<A extends readonly unknown[], Root, Depth extends 0[]> = A extends readonly [infer First, ...infer Rest]
  ? OfJson<First, Root, Depth> & All<Rest, Root, Depth>
  : unknown
type Ref<S, Root, Depth extends 0[]> = S extends { readonly $ref: infer R extends string }
  ? Depth extends TooDeep ? unknown : OfJson<Target<R, Root>, Root, [...Depth, 0]>
  : unknown
type Target<R extends string, Root> = R extends '#'
  ? Root
  : R extends `#/${infer Place}/${infer Name}` ? Entry<Root, Place, Name> : Entry<Root, '$defs', R>
type Entry<Root, Place extends string, Name extends string> = Root extends { readonly [P in Place]: infer All }
  ? Name extends keyof All ? All[Name] : true
  : true

type Typed<S, Root, Depth extends 0[]> = S extends { readonly type: infer T }
  ? OfType<T extends ReadonlyArray<infer U> ? U : T, S, Root, Depth>
  : unknown
type OfType<T, S, Root, Depth extends 0[]> = T extends 'string'
  ? string
  : T extends 'number' | 'integer'
    ? number
    : T extends 'boolean'
      ? boolean
      : T extends 'null'
        ? null
        : T extends 'array'
          ? OfArray<S, Root, Depth>
          : T extends 'object' ? OfObject<S, Root> : unknown

type OfArray<S, Root, Depth extends 0[]> = S extends { readonly prefixItems: infer I extends readonly unknown[] }
  ? Tuple<I, S, S extends { readonly items: false } ? true : false, Root, Depth>
  : S extends { readonly items: infer I extends readonly unknown[] }
    ? Tuple<I, S, S extends { readonly additionalItems: false } ? true : false, Root, Depth>
    : S extends { readonly items: infer I } ? Array<OfJson<I, Root, Depth>> : unknown[]
type Tuple<I extends readonly unknown[], S, IsWhole extends boolean, Root, Depth extends 0[]> = Long<
  { -readonly [K in keyof I]: OfJson<I[K], Root, Depth> }, S, I['length'], IsWhole
>
type Long<T extends unknown[], S, Length, IsWhole extends boolean> = S extends { readonly minItems: Length }
  ? IsWhole extends true ? T : [...T, ...unknown[]]
  : IsWhole extends true ? Partial<T> : [...Partial<T>, ...unknown[]]

type OfObject<S, Root> = S extends { readonly properties: infer P }
  ? Properties<P, S extends { readonly required: ReadonlyArray<infer R> } ? R : never, Root>
  : S extends { readonly patternProperties: infer P }
    ? Record<string, { [K in keyof P]: OfJson<P[K], Root> }[keyof P]>
    : S extends { readonly additionalProperties: infer A }
      ? A extends false ? Record<string, never> : Record<string, OfJson<A, Root>>
      : Record<string, unknown>
type Properties<P, Required, Root> = Flat<{
  -readonly [K in keyof P as K extends Required ? K : never]: OfJson<P[K], Root>
} & {
  -readonly [K in keyof P as K extends Required ? never : K]?: OfJson<P[K], Root>
}>
type Flat<T> = { [K in keyof T]: T[K] }
