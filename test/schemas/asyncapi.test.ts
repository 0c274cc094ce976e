import { Parser } from '@asyncapi/parser'
import { Type } from '@sinclair/typebox'
import { toStandardJsonSchema } from '@valibot/to-json-schema'
import Fastify from 'fastify'
import t from 'tap'
import Type1 from 'typebox'
import * as v from 'valibot'
import * as z from 'zod'
import realtime, { defineRoom, type SchemaLike } from '../../lib/index.js'
import { LIBRARIES } from './libraries.js'
import { matchList } from '../helpers/match-list.js'

const tree = {
  $defs: {
    node: {
      type: 'object',
      properties: { value: { type: 'number' }, kids: { type: 'array', items: { $ref: '#/$defs/node' } } },
      required: ['value', 'kids']
    }
  },
  $ref: '#/$defs/node'
} as const

const ROOMS = [
  ...Object.entries(LIBRARIES).map(([name, { line, count, changing = count }], index) => defineRoom(`lib${index}/:id`, {
    messages: { say: { data: line, reply: changing }, [name.replace(/[^a-z]/gi, '')]: changing },
    events: { said: line }
  })),
  defineRoom('trees', {
    messages: {
      json: tree,
      typebox: Type.Recursive((This) => Type.Object({ kids: Type.Array(This) }), { $id: 'Tree' }),
      typebox1: Type1.Cyclic({ Node: Type1.Object({ next: Type1.Optional(Type1.Ref('Node')) }) }, 'Node'),
      self: { type: 'object', properties: { next: { $ref: '#' } } },
      pair: {
        type: 'array',
        prefixItems: [{ type: 'object', properties: { x: { type: 'number' } } }, { type: 'string' }],
        items: false
      },
      valibot: toStandardJsonSchema(v.object({ name: v.string() })),
      zod: z.object({ get next () { return z.optional(z.object({ deep: z.object({ n: z.number() }) })) } }),
      words: z.enum(['a', 'b']),
      made: z.string().transform((text) => new Map([[text, 1]]))
    },
    events: { made: z.string().transform((text) => new Map([[text, 1]])) }
  })
]

t.test('the document is valid by the official parser, for each library, and no model in it is anonymous', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'documents' } })
  for (const room of ROOMS) {
    // The names of the messages are those of the libraries.
    app.room(room as never, { on: handlersOf(room) } as never)
  }
  const { payload } = await app.inject({ url: '/ws/asyncapi.json', headers: { host: 'chat.example.com' } })
  const { document, diagnostics } = await new Parser().parse(payload)
  t.same(diagnostics.filter(({ severity }) => severity === 0).map(({ message, path }) => [message, path]), [])
  t.same(document!.servers().all().map((server) => [server.host(), server.protocol()]), [
    ['chat.example.com', 'ws'], ['chat.example.com', 'http']
  ])
  const anonymous = document!.allSchemas().all().filter((schema) =>
    (schema.type() === 'object' || schema.properties() !== undefined) && schema.title() === undefined &&
    schema.id().includes('anonymous'))
  t.same(anonymous.map((schema) => schema.json()), [])
  t.same(document!.allMessages().all().filter((message) => message.title() === undefined).map(({ json }) => json), [])
})

t.test('a schema of another library is told as far as the library can say it', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'documents' } })
  for (const room of ROOMS) app.room(room as never, { on: handlersOf(room) } as never)
  const document: { components: { messages: Record<string, { payload: { properties: { data: object } } }> } } =
    (await app.inject('/ws/asyncapi.json')).json()
  const dataOf = (message: string): object => document.components.messages[message]!.payload.properties.data
  t.match(dataOf('trees.message.valibot'), { title: 'TreesValibotData', properties: { name: { type: 'string' } } })
  t.match(dataOf('trees.message.made'), { type: 'string' }, 'what is sent')
  t.match(dataOf('trees.event.made'), { 'x-schema': 'zod' }, 'what is made of it has no form in JSON')
  t.match(dataOf('trees.message.zod'), {
    properties: { next: { title: 'TreesZodDataNext', properties: { deep: { title: 'TreesZodDataNextDeep' } } } }
  })
  matchList(t, dataOf('trees.message.pair'), { items: [{ title: 'TreesPairDataItem1' }, {}], additionalItems: false })
  t.match(dataOf('trees.message.json'), { $ref: '#/components/schemas/node' })
})

function handlersOf (room: (typeof ROOMS)[number]): Record<string, () => undefined> {
  const names = Object.getOwnPropertySymbols(room).flatMap((symbol) =>
    Object.keys((room as unknown as Record<symbol, { messages?: Record<string, SchemaLike> }>)[symbol]!.messages ?? {}))
  return Object.fromEntries(names.map((name) => [name, () => undefined]))
}
