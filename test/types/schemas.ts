/*
 * What the compiler infers from schemas of each family; compiled by types.test.ts, never run. An expected error that is
 * missing is an error, and so is another type.
 */
import { Type } from '@sinclair/typebox'
import { type } from 'arktype'
import Type1 from 'typebox'
import * as v from 'valibot'
import * as z from 'zod'
import type { FastifyInstance } from 'fastify'
import { defineRoom } from '../../lib/index.js'
import {
  array, boolean, integer, number, object, oneOf, optional, record, string, union
} from '../../lib/contract/index.js'
import { connect } from '../../lib/client/index.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
function is<A, B> (..._proof: Equal<A, B> extends true ? [] : [never]): void {}

function equal<A> (): <B>(value: B, ..._proof: Equal<A, B> extends true ? [] : [never]) => void { return () => {} }

declare const app: FastifyInstance

/** What the data of each library's schema is: the same for all of them, but for what they change. */
interface Line { text: string, size?: number }

const typebox = defineRoom('a/:id', {
  messages: {
    say: {
      data: Type.Object({ text: Type.String(), size: Type.Optional(Type.Integer()) }),
      reply: Type.Object({ id: Type.String() })
    }
  },
  events: { said: Type.Object({ text: Type.String() }) }
})
app.room(typebox, { on: { say: ({ data }) => { is<typeof data, Line>(); return { id: data.text } } } })

const typebox1 = defineRoom('b/:id', {
  params: Type1.Object({ id: Type1.String({ maxLength: 5 }) }),
  messages: {
    say: {
      data: Type1.Object({ text: Type1.String(), size: Type1.Optional(Type1.Integer()) }),
      reply: Type1.Object({ id: Type1.String() })
    },
    pick: Type1.Object({
      word: Type1.Union([Type1.Literal('a'), Type1.Literal('b'), Type1.Null()]),
      list: Type1.Array(Type1.Number()),
      pair: Type1.Tuple([Type1.String(), Type1.Boolean()]),
      map: Type1.Record(Type1.String(), Type1.Number()),
      all: Type1.Intersect([Type1.Object({ x: Type1.Number() }), Type1.Object({ y: Type1.Number() })]),
      one: Type1.Enum(['p', 'q']),
      own: Type1.Unsafe<`${number}px`>({ type: 'string' }),
      tree: Type1.Cyclic({ Node: Type1.Object({ value: Type1.Number(), next: Type1.Optional(Type1.Ref('Node')) }) }, 'Node')
    })
  },
  events: {
    said: Type1.Object({ text: Type1.String() }),
    at: { data: Type1.Object({ k: Type1.String(), n: Type1.Number() }), delivery: 'latest', key: 'k' }
  },
  member: Type1.Object({ name: Type1.String() })
})
app.room(typebox1, {
  presence: () => ({ name: 'x' }),
  on: {
    say: ({ data, params, room }) => {
      is<typeof data, Line>()
      is<typeof params, { id: string }>()
      void room.broadcast('said', { text: 'x' })
      // @ts-expect-error data that does not fit
      void room.broadcast('said', { text: 1 })
      return { id: data.text }
    },
    pick: ({ data }) => {
      is<typeof data.word, 'a' | 'b' | null>()
      is<typeof data.list, number[]>()
      is<typeof data.pair, [string, boolean]>()
      is<typeof data.map, Record<string, number>>()
      const sum: number = data.all.x + data.all.y
      is<typeof data.one, 'p' | 'q'>()
      is<typeof data.own, `${number}px`>()
      const deep: number | undefined = data.tree.next?.next?.value
      void [sum, deep]
    }
  }
})
// @ts-expect-error the reply does not fit
app.room(typebox1, { presence: () => ({ name: 'x' }), on: { say: () => ({ id: 1 }), pick () {} } })
// @ts-expect-error a latest event has a key of its data
defineRoom('x', { events: { e: { data: Type1.Object({ k: Type1.String() }), delivery: 'latest', key: 'nope' } } })
// @ts-expect-error params describe exactly those of the pattern
defineRoom('x/:id', { params: Type1.Object({ nope: Type1.String() }) })

const json = defineRoom('c/:id', {
  params: { type: 'object', properties: { id: { type: 'string', maxLength: 5 } }, required: ['id'] },
  messages: {
    say: {
      data: { type: 'object', properties: { text: { type: 'string' }, size: { type: 'integer' } }, required: ['text'] },
      reply: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] }
    },
    pick: {
      type: 'object',
      properties: {
        word: { enum: ['a', 'b', null] },
        maybe: { type: ['string', 'null'] },
        list: { type: 'array', items: { type: 'number' } },
        pair: { type: 'array', prefixItems: [{ type: 'string' }, { type: 'boolean' }], items: false, minItems: 2 },
        old: { type: 'array', items: [{ type: 'string' }], additionalItems: false },
        map: { type: 'object', additionalProperties: { type: 'number' } },
        either: { oneOf: [{ const: 1 }, { type: 'string' }] },
        tree: { $ref: '#/$defs/node' }
      },
      required: ['word', 'maybe', 'list', 'pair', 'old', 'map', 'either', 'tree'],
      $defs: {
        node: {
          type: 'object',
          properties: { value: { type: 'number' }, kids: { type: 'array', items: { $ref: '#/$defs/node' } } },
          required: ['value', 'kids']
        }
      }
    }
  },
  events: { said: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] } },
  member: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] }
})
app.room(json, {
  presence: () => ({ name: 'x' }),
  on: {
    say: ({ data, params, room }) => {
      is<typeof data, Line>()
      is<typeof params, { id: string }>()
      void room.broadcast('said', { text: 'x' })
      // @ts-expect-error data that does not fit
      void room.broadcast('said', {})
      return { id: data.text }
    },
    pick: ({ data }) => {
      is<typeof data.word, 'a' | 'b' | null>()
      is<typeof data.maybe, string | null>()
      is<typeof data.list, number[]>()
      is<typeof data.pair, [string, boolean]>()
      is<typeof data.old, [string?]>()
      is<typeof data.map, Record<string, number>>()
      is<typeof data.either, string | 1>()
      const deep: number | undefined = data.tree.kids[0]?.kids[0]?.value
      void deep
    }
  }
})
// @ts-expect-error the reply does not fit
app.room(json, { presence: () => ({ name: 'x' }), on: { say: () => ({}), pick () {} } })

// A schema that was written down elsewhere, as a literal and not.
const apart = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] } as const
const loose = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] }
app.room(defineRoom('d', { messages: { one: apart, two: loose } }), {
  on: {
    one: ({ data }) => { is<typeof data, { n: number }>() },
    two: ({ data }) => { is<typeof data, unknown>() }
  }
})

/** What a library changes is one type where it is given, and another where it arrives. */
const zod = defineRoom('e/:id', {
  params: z.object({ id: z.string().transform(Number) }),
  messages: {
    say: {
      data: z.object({
        text: z.string().trim(),
        size: z.coerce.number().optional(),
        when: z.iso.datetime().transform((text) => new Date(text))
      }),
      reply: z.object({ id: z.number().transform(String), more: z.boolean().default(false) })
    },
    type: z.object({})
  },
  events: {
    said: z.object({ text: z.string(), by: z.string().default('nobody') }),
    at: { data: z.object({ k: z.string(), n: z.number() }), delivery: 'latest', key: 'k' }
  },
  member: z.object({ name: z.string().default('x') })
})
app.room(zod, {
  presence: () => ({}),
  authorize: ({ params }) => params.id > 1,
  on: {
    say: ({ data, params, room }) => {
      is<typeof params, { id: number }>()
      is<typeof data.when, Date>()
      is<typeof data.size, number | undefined>()
      void room.broadcast('said', { text: 'x' })
      // @ts-expect-error data that does not fit
      void room.broadcast('said', { by: 'x' })
      return { id: 1 }
    },
    type () {}
  }
})
// @ts-expect-error a reply is what its schema takes
app.room(zod, { presence: () => ({}), on: { say: () => ({ id: '1' }), type () {} } })
zod.at({ id: '1' })
// @ts-expect-error a param is a string where it is given
zod.at({ id: 1 })
// @ts-expect-error a latest event has a key of its data
defineRoom('x', { events: { e: { data: z.object({ k: z.string() }), delivery: 'latest', key: 'nope' } } })
const room = connect('http://127.0.0.1/ws').join(zod.at({ id: '1' }))
room.on('said', ({ data }) => { is<typeof data, { text: string, by: string }>() })
export async function client (): Promise<void> {
  equal<{ id: string, more: boolean }>()(await room.send('say', { text: 'x', when: '2026-01-01T00:00:00Z' }))
  // @ts-expect-error what is sent is what the schema takes
  await room.send('say', { text: 'x', when: new Date() })
  equal<string>()(room.members.get('ada')!.data.name)
  await app.rooms.broadcast(zod.at({ id: '1' }), 'said', { text: 'x' })
  // @ts-expect-error data that does not fit
  await app.rooms.broadcast(zod.at({ id: '1' }), 'said', { text: 1 })
}

const valibot = defineRoom('f/:id', {
  messages: {
    say: {
      data: v.object({ text: v.pipe(v.string(), v.trim()), size: v.optional(v.pipe(v.string(), v.transform(Number)), '1') }),
      reply: v.object({ id: v.string() })
    }
  },
  events: { said: v.object({ text: v.string() }) }
})
app.room(valibot, {
  on: { say: ({ data }) => { is<typeof data, { text: string, size: number }>(); return { id: data.text } } }
})

const arktype = defineRoom('g/:id', {
  messages: { say: { data: type({ text: 'string', 'size?': 'string.integer.parse' }), reply: type({ id: 'string' }) } },
  events: { said: type({ text: 'string', by: 'string = "nobody"' }) }
})
app.room(arktype, {
  on: {
    say: ({ data, room }) => {
      is<typeof data, Line>()
      void room.broadcast('said', { text: 'x' })
      return { id: data.text }
    }
  }
})

// Families in one contract.
app.room(defineRoom('mixed', {
  messages: {
    one: { data: Type.Object({ n: Type.Number() }), reply: z.object({ n: z.number() }) },
    two: { data: { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] }, reply: v.object({ n: v.number() }) }
  },
  events: { three: Type1.Object({ n: Type1.Number() }), four: type({ n: 'number' }) }
}), {
  on: {
    one: ({ data }) => ({ n: data.n }),
    two: ({ data, room }) => {
      void room.broadcast('four', { n: data.n })
      // @ts-expect-error data that does not fit
      void room.broadcast('three', { n: 'x' })
      return { n: data.n }
    }
  }
})

// The light builders of the contract.
const light = defineRoom('light/:id', {
  params: object({ id: string({ maxLength: 5 }) }),
  messages: {
    say: {
      data: object({ text: string({ minLength: 1, maxLength: 2000 }), size: optional(integer({ minimum: 0 })) }),
      reply: object({ id: string() })
    },
    pick: object({
      word: oneOf('a', 'b', null),
      list: array(number(), { maxItems: 5 }),
      map: record(boolean()),
      either: union(string(), object({ x: number() }))
    }, { additionalProperties: false })
  },
  events: { at: { data: object({ k: string(), n: number() }), delivery: 'latest', key: 'k' } },
  member: object({ name: string() })
})
app.room(light, {
  presence: () => ({ name: 'x' }),
  on: {
    say: ({ data, params }) => {
      is<typeof data, Line>()
      is<typeof params, { id: string }>()
      return { id: data.text }
    },
    pick: ({ data }) => {
      is<typeof data.word, 'a' | 'b' | null>()
      is<typeof data.list, number[]>()
      is<typeof data.map, Record<string, boolean>>()
      is<typeof data.either, string | { x: number }>()
    }
  }
})
// @ts-expect-error an expression needs a greatest length
string({ pattern: '^a' })
// @ts-expect-error a latest event has a key of its data
defineRoom('x', { events: { e: { data: object({ k: string() }), delivery: 'latest', key: 'nope' } } })
