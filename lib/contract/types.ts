/** Anything with TypeBox's phantom types. Structural, so that two copies of TypeBox in one app do not clash. */
export interface SchemaLike { readonly static: unknown, readonly params: unknown[] }
export type Infer<S extends SchemaLike> = (S & { params: [] })['static']

export type Delivery = 'reliable' | 'latest' | 'volatile'
export interface MessageSpecs {
  readonly [name: string]: SchemaLike | { readonly data: SchemaLike, readonly reply?: SchemaLike }
}
export interface EventSpecs {
  readonly [name: string]: SchemaLike | {
    readonly data: SchemaLike
    readonly delivery?: Delivery
    readonly key?: string
  }
}

export type PathParams<N extends string> = N extends `${infer A}/${infer B}`
  ? PathParams<A> | PathParams<B>
  : N extends `:${infer P}` ? P : never
export type Data<S> = S extends { readonly data: infer D extends SchemaLike }
  ? Infer<D>
  : S extends SchemaLike ? Infer<S> : never
export type Reply<S> = S extends { readonly reply: infer R extends SchemaLike } ? Infer<R> : void
export type ParamsOf<N extends string, P> = P extends SchemaLike ? Infer<P> : { [K in PathParams<N>]: string }

export type CheckParams<N extends string, P> = P extends SchemaLike
  ? Infer<P> extends { [K in PathParams<N>]: string }
    ? [keyof Infer<P>] extends [PathParams<N>] ? unknown : { params: `params must describe exactly :${PathParams<N>}` }
    : { params: 'every param is a string' }
  : unknown
export type CheckEvents<E> = { readonly [K in keyof E]: E[K] extends { readonly delivery: 'latest' }
  ? { readonly key: keyof Data<E[K]> }
  : unknown }

declare const types: unique symbol
declare const definition: unique symbol

/** One room: what `at()` returns, and what a definition without params is by itself. */
export interface Address<M, E, D> { readonly name: string, readonly [types]?: [M, E, D] }

/** A family of rooms: its name pattern and, as types, everything that its schemas say. */
export interface Definition<N extends string, P, M, E, D> {
  readonly name: N
  readonly [definition]?: [P, M, E, D]
  at (...args: [PathParams<N>] extends [never] ? [] : [params: P]): Address<M, E, D>
}

export type AnyAddress = Address<unknown, unknown, unknown>
export type EventName<R> = R extends Address<unknown, infer E, unknown> ? keyof E & string : string
export type EventData<R, K> = R extends Address<unknown, infer E, unknown> ? K extends keyof E ? E[K] : never : unknown
export interface AnyMessages { [name: string]: { data: unknown, reply: unknown } }

/** The schemas of a definition as they were given, before any compilation. */
export interface Contract {
  readonly params?: SchemaLike
  readonly messages?: MessageSpecs
  readonly events?: EventSpecs
  readonly member?: SchemaLike
}
