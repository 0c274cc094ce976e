import type { Given, InferInput, Made, SchemaLike, Slot } from './schemas.js'

export type * from './schemas.js'

/**
 * What is promised for an event: `reliable` events have a position and come once and in order, also after a
 * reconnect; of `latest` events the newest value of each key is kept; `volatile` events may be dropped; the texts of
 * `append` events grow, and each member gets of each what it does not have.
 */
export type Delivery = 'reliable' | 'latest' | 'volatile' | 'append'

/** What a client may send into a room: by the name of a message a schema of its data, or of its data and the reply. */
export interface MessageSpecs {
  readonly [name: string]: SchemaLike | {
    /** Schema of what the client sends. A message that does not fit is refused `invalid_message`. */
    readonly data: SchemaLike
    /** Schema of what the handler returns, which the ack of the message carries. @default no reply */
    readonly reply?: SchemaLike
    /**
     * Whether the message does not wait behind other messages of its connection in the room, nor they behind it. Where
     * they have used up their rate, it has a second bucket of the same rate.
     *
     * @default false: one after another, in the order in which they were sent
     */
    readonly concurrent?: boolean
  }
}

/** What the server may send to a room: by the name of an event its schema, or that and how it is delivered. */
export interface EventSpecs {
  readonly [name: string]: SchemaLike | {
    /** Schema of the event's data. A broadcast that does not fit rejects with `REALTIME_ERR_EVENT`. */
    readonly data: SchemaLike
    /** What is promised for the event. @default 'reliable' */
    readonly delivery?: Delivery
    /**
     * Property of the data whose value tells `latest` values apart, of which the newest of each is kept, or the texts
     * of an `append` event: at most 1 000 of a room. It is needed for both, and of no meaning for the others.
     */
    readonly key?: string
    /**
     * Property of the data that grows, of an `append` event: a string or an array. It is needed for `append`, and of no
     * meaning for the others.
     */
    readonly append?: string
    /**
     * Whether a `latest` value belongs to the user whose message causes it: it is removed when the user's presence in
     * the room ends. The room needs presence. @default false
     */
    readonly owner?: boolean
    /**
     * Schema of what a client answers when it is asked by this event, with `app.rooms.request`: what its listener
     * returns. Not for `latest` and `append`. @default it cannot be asked
     */
    readonly reply?: SchemaLike
  }
}

/** The names of the params in a pattern: `'org' | 'id'` of `'org/:org/chat/:id'`. */
export type PathParams<N extends string> = N extends `${infer A}/${infer B}`
  ? PathParams<A> | PathParams<B>
  : N extends `:${infer P}` ? P : never

/** The type of the data of a message or event, from its declaration, or both where its schema changes data. */
export type Data<S> = S extends {
  /** Schema of the data, where more than the data is declared. */
  readonly data: infer D extends SchemaLike
} ? Slot<D> : S extends SchemaLike ? Slot<S> : never

/** The type of the reply to a message, from its declaration; `void` without one. */
export type Reply<S> = S extends {
  /** Schema of the reply. */
  readonly reply: infer R extends SchemaLike
} ? Slot<R> : void

/** The types of all messages of a room, from their declarations. */
export type MessagesOf<M extends MessageSpecs> = { [K in keyof M]: {
  /** The type of what the client sends. */
  data: Data<M[K]>
  /** The type of what the ack carries. */
  reply: Reply<M[K]>
} }

/** The types of the data of all events of a room, from their declarations. */
export type EventsOf<E> = { [K in keyof E]: E[K] extends {
  /** Its texts grow. */
  readonly delivery: 'append'
  /** The property that grows. */
  readonly append: infer P extends string
} ? Growing<Made<Data<E[K]>>, P> : [Reply<E[K]>] extends [void] ? Data<E[K]> : Asking<Data<E[K]>, Reply<E[K]>> }

/** The data of an event by which clients can be asked, with the type of their answers. */
export type Asking<D, R> = D & {
  /** The type of the answer, for the compiler; it is never there at run time. */
  readonly '~asks'?: R
}

/**
 * The data of an `append` event, with the name of the property that grows. It is marked by a name and not by a symbol,
 * so that two copies of this package in one app do not clash.
 */
export type Growing<D, P extends string> = D & {
  /** The name of the property, for the compiler; it is never there at run time. */
  readonly '~grows'?: P
}

/** The name of the property that grows in the data of an event; `never` where none does. */
export type GrowingProperty<D> = '~grows' extends keyof D ? Exclude<D['~grows'], undefined> : never

/** The names of those events whose texts grow. */
export type GrowingName<E> = {
  [K in keyof E & string]: [GrowingProperty<E[K]>] extends [never] ? never : K
}[keyof E & string]

/** The text of an `append` event as it is so far: a string or an array. */
export type GrowingText<D> = GrowingProperty<D> extends keyof D ? Exclude<D[GrowingProperty<D>], undefined> : unknown

/** What is appended at a time to the text of an `append` event: a string, or one item. */
export type GrowingChunk<D> = GrowingText<D> extends ReadonlyArray<infer I> ? I : GrowingText<D>

/** The data of an `append` event without the property that grows. */
export type GrowingHead<D> = { [K in keyof D as K extends GrowingProperty<D> | '~grows' ? never : K]: D[K] }

/** The type of what others see of a member, from its schema. */
export type MemberOf<D> = D extends SchemaLike ? Slot<D> : undefined

/** The type of a room's params: what their schema says, or a string for each name of the pattern. */
export type ParamsOf<N extends string, P> = P extends SchemaLike ? Slot<P> : { [K in PathParams<N>]: string }

/** A compile error that says what is wrong where the schema of the params does not describe the pattern's names. */
export type CheckParams<N extends string, P> = P extends SchemaLike
  ? InferInput<P> extends { [K in PathParams<N>]: string }
    ? [keyof InferInput<P>] extends [PathParams<N>]
        ? unknown
        : {
            /** What is wrong, for the compiler's message. */
            params: `params must describe exactly :${PathParams<N>}`
          }
    : {
        /** What is wrong, for the compiler's message. */
        params: 'every param is a string'
      }
  : unknown

/** The names of the properties of `D` that can grow. */
type Growable<D> = { [K in keyof D]-?: D[K] extends string | readonly unknown[] ? K : never }[keyof D]

/**
 * A compile error where a `latest` event has no key, or one that its data lacks, and where an `append` event names no
 * property that can grow.
 */
export type CheckEvents<E> = {
  readonly [K in keyof E]: E[K] extends {
    /** Only `latest` needs a key. */
    readonly delivery: 'latest'
  }
    ? {
        /** A property of the event's data. */
        readonly key: keyof Made<Data<E[K]>>
      }
    : E[K] extends {
      /** `append` needs a key and what grows. */
      readonly delivery: 'append'
    }
      ? {
          /** A property of the event's data. */
          readonly key: keyof Made<Data<E[K]>>
          /** A property of the event's data that is a string or an array. */
          readonly append: Growable<Made<Data<E[K]>>>
        }
      : unknown
}

declare const types: unique symbol
declare const definition: unique symbol

/** One room: what `at()` returns, and what a definition without params is by itself. */
export interface Address<M, E, D> {
  /** The name of the room, each param encoded: `chat/42`. */
  readonly name: string
  /** Carries the types of the room for the compiler; it is never there at run time. */
  readonly [types]?: [M, E, D]
}

/** A family of rooms: its name pattern and, as types, everything that its schemas say. */
export interface Definition<N extends string, P, M, E, D> {
  /** The pattern: `chat/:id`. */
  readonly name: N
  /** Carries the types of the family for the compiler; it is never there at run time. */
  readonly [definition]?: [P, M, E, D]
  /**
   * The room with these params. A pattern without params takes none.
   *
   * @throws TypeError with code `REALTIME_ERR_PARAM` when a param is no string, empty, `.` or `..`
   */
  at (...args: [PathParams<N>] extends [never] ? [] : [params: Given<P>]): Address<M, E, D>
}

/** A room of whatever types. */
export type AnyAddress = Address<unknown, unknown, unknown>

/** The names of the events of a room; any string where the room is given by its name alone. */
export type EventName<R> = R extends Address<unknown, infer E, unknown> ? keyof E & string : string

/** The types of the data of all events of a room; of any event `unknown` where the room is given by its name alone. */
export type EventsOfRoom<R> = R extends Address<unknown, infer E, unknown> ? E : Record<string, unknown>

/** The type of the data that an event of a room is given; `unknown` where the room is given by its name alone. */
export type EventData<R, K> = R extends Address<unknown, infer E, unknown>
  ? K extends keyof E ? Given<E[K]> : never
  : unknown

/** The type of what a client answers to an event of a room; `unknown` where the room is given by its name alone. */
export type EventReply<R, K> = R extends Address<unknown, infer E, unknown>
  ? K extends keyof E ? '~asks' extends keyof E[K] ? Made<Exclude<E[K]['~asks'], undefined>> : never : never
  : unknown

/** The names of the events of a room by which clients can be asked. */
export type AskingName<R> = R extends Address<unknown, infer E, unknown>
  ? { [K in keyof E & string]: '~asks' extends keyof E[K] ? K : never }[keyof E & string]
  : string

/** The type of what a room shows of a member; `unknown` where the room is given by its name alone. */
export type MemberData<R> = R extends Address<unknown, unknown, infer D> ? Made<D> : unknown

/** One event that is kept of a room: each that its contract declares, or any where the room is given by its name. */
export type HistoryEvent<R> = R extends Address<unknown, infer E, unknown>
  ? unknown extends E ? KeptEvent<string, unknown> : {
    // The texts of `append` events are kept beside the history.
    [K in Exclude<keyof E & string, GrowingName<E>>]: KeptEvent<K, Made<E[K]>>
  }[Exclude<keyof E & string, GrowingName<E>>]
  : KeptEvent<string, unknown>

/** An event with its name and data, as a room keeps it. */
export interface KeptEvent<K, D> {
  /** The name of the event. */
  type: K
  /** What was broadcast. */
  data: D
  /** The number of the event in its room. */
  offset: number
  /** When it was accepted, in Unix milliseconds. */
  timestamp: number
}

/** The current values of a room: by event, then by the text of the key. A key that has no value is absent. */
export interface RoomState<E> extends ReadonlyMap<string, ReadonlyMap<string, unknown>> {
  /** The values of one event by the text of their key; `undefined` for an event that is not `latest`. */
  get<K extends keyof E & string> (event: K): ReadonlyMap<string, Made<E[K]>> | undefined
}

/** Messages of whatever types. */
export interface AnyMessages {
  [name: string]: {
    /** The type of what the client sends. */
    data: unknown
    /** The type of what the ack carries. */
    reply: unknown
  }
}

/** The schemas of a definition as they were given, before any compilation. */
export interface Contract {
  /** Schema of the params. @default each param is a string */
  readonly params?: SchemaLike
  /** What clients may send. @default nothing */
  readonly messages?: MessageSpecs
  /** What the server may send. @default nothing */
  readonly events?: EventSpecs
  /** Schema of what others see of a member. @default nothing but the user's id */
  readonly member?: SchemaLike
}
