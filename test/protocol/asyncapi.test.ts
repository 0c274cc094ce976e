import { Ajv } from 'ajv'
import formats from 'ajv-formats'
import specs from '@asyncapi/specs'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import t from 'tap'
import { asyncApi } from '../../lib/protocol/asyncapi.js'
import { CLIENT_FRAMES, SERVER_FRAMES } from '../../lib/protocol/frame-schemas.js'
import { RESERVED_TYPES } from '../../lib/protocol/frames.js'
import { contractOf, defineRoom } from '../../lib/contract/define-room.js'
import type { Contract } from '../../lib/contract/types.js'
import realtime from '../../lib/index.js'
import { matchList } from '../helpers/match-list.js'

/** The frames of the protocol that a client or the server may send. */
const FRAMES = Object.keys(CLIENT_FRAMES).length + Object.keys(SERVER_FRAMES).length

interface Document {
  readonly channels: Record<string, {
    readonly address: string
    readonly title: string
    readonly messages: Record<string, unknown>
    readonly parameters?: object
  }>
  readonly operations: Record<string, { readonly action: string, readonly messages: ReadonlyArray<{ $ref: string }> }>
  readonly components: {
    readonly messages: Record<string, { readonly payload: object }>
    readonly schemas: Record<string, object>
  }
}

const ajv = new Ajv({ meta: false, strict: false, logger: false })
formats.default(ajv)
const { schemas } = (specs as { default?: typeof specs }).default ?? specs
const isValid = ajv.compile((schemas as unknown as Record<string, object>)['3.0.0']!)

/** As a reader gets it: through JSON. */
function describe (...definitions: ReadonlyArray<{ readonly name: string }>): Document {
  const rooms = definitions.map((definition) => ({
    pattern: definition.name,
    contract: contractOf(definition) as Contract
  }))
  return JSON.parse(JSON.stringify(asyncApi(rooms, { title: 'Test', version: '1.0.0' }, '/ws'))) as Document
}

function follow (document: unknown, pointer: string): unknown {
  return pointer.slice(2).split('/').reduce<unknown>(
    (node, key) => (node as Record<string, unknown> | undefined)?.[key],
    document
  )
}

/** References that lead nowhere. */
function dangling (document: unknown): string[] {
  const found: string[] = []
  JSON.stringify(document, (key, value: unknown) => {
    if (key === '$ref' && typeof value === 'string' &&
      (!value.startsWith('#/') || follow(document, value) === undefined)) {
      found.push(value)
    }
    return value
  })
  return found
}

const chat = defineRoom('chat/:id', {
  messages: {
    say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ id: Type.String() }) },
    type: Type.Object({})
  },
  events: {
    said: Type.Object({ text: Type.String() }),
    score: { data: Type.Object({ team: Type.String() }), delivery: 'latest', key: 'team' }
  }
})

t.test('the document of an app is valid AsyncAPI 3.0 and names its URLs', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'stats' }, prefix: '/live' })
  app.room(chat, { on: { say: async () => ({ id: '1' }), type: async () => {} } })
  const document: Document = (await app.inject('/live/asyncapi.json')).json()
  t.ok(isValid(document), JSON.stringify(isValid.errors?.slice(0, 3)))
  t.same(dangling(document), [])
  t.match(document.channels, { chat_id: { title: 'chat/:id', address: '/live/chat/{id}', parameters: { id: {} } } })
})

t.test('the server receives messages, answers them with their reply, and sends events', async (t) => {
  const document = describe(chat)
  const ofRooms = Object.entries(document.operations).filter(([name]) => !name.startsWith('connection.'))
  t.same(ofRooms.map(([name, { action }]) => [name, action]), [
    ['chat_id.receive.message.say', 'receive'],
    ['chat_id.receive.message.type', 'receive'],
    ['chat_id.send.event.said', 'send'],
    ['chat_id.send.event.score', 'send']
  ])
  const payload = (name: string): object => document.components.messages[name]!.payload
  matchList(t, payload('chat_id.message.say'), {
    required: ['type', 'room', 'data'],
    properties: { type: { const: 'say' }, data: { properties: { text: { type: 'string' } } } }
  })
  matchList(t, payload('chat_id.ack.say'), {
    required: ['type', 'data'],
    properties: { type: { const: 'ack' }, data: { properties: { id: { type: 'string' } } } }
  })
  t.notOk(
    'data' in (payload('chat_id.ack.type') as { properties: object }).properties,
    'a message without reply is acked without data'
  )
  t.match(payload('chat_id.event.score'), { properties: { data: { properties: { team: { type: 'string' } } } } })
})

t.test('rooms and messages whose names differ only in signs keep documents of their own', async (t) => {
  const document = describe(
    defineRoom('chat/id', { events: { one: Type.Object({}) } }),
    defineRoom('chat/:id', { events: { two: Type.Object({}), 'a:b': Type.Object({}), a_b: Type.Object({}) } }),
    defineRoom('@user/:id', { events: { three: Type.Object({}) } })
  )
  t.ok(isValid(document), JSON.stringify(isValid.errors?.slice(0, 3)))
  t.same(dangling(document), [])
  const channels = Object.values(document.channels)
  t.same(channels.map(({ title, address, messages }) => [title, address, Object.keys(messages).length]), [
    ['chat/id', '/ws/chat/id', 1], ['chat/:id', '/ws/chat/{id}', 3], ['@user/:id', '/ws/@user/{id}', 1],
    ['Every connection', '/ws', FRAMES]
  ])
  t.equal(Object.keys(document.operations).length, 5 + FRAMES)
})

t.test('a schema with an $id stands once in the components, where what refers to it finds it', async (t) => {
  const point = Type.Object({ x: Type.Number(), y: Type.Number() }, { $id: 'Point' })
  const tree = Type.Recursive((This) => Type.Object({ at: point, kids: Type.Array(This) }), { $id: 'Tree' })
  const document = describe(
    defineRoom('plan', {
      messages: { plant: tree, move: { data: Type.Object({ from: point, to: point }), reply: point } },
      events: { moved: point }
    }),
    defineRoom('other', { events: { moved: Type.Object({ $id: Type.String() }, { $id: 'Point' }) } })
  )
  t.ok(isValid(document), JSON.stringify(isValid.errors?.slice(0, 3)))
  t.same(dangling(document), [])
  t.same(Object.keys(document.components.schemas), ['Tree', 'Point', 'Point_2'])
  t.match(document.components.schemas.Tree, {
    properties: { at: { $ref: '#/components/schemas/Point' }, kids: { items: { $ref: '#/components/schemas/Tree' } } }
  })
  t.match(
    document.components.schemas.Point_2,
    { properties: { $id: { type: 'string' } } },
    'a property named $id stays'
  )
  t.notMatch(JSON.stringify(document), /"\$id":"/)
})

t.test('an app without rooms has a valid document', async (t) => {
  t.ok(isValid(describe()), JSON.stringify(isValid.errors?.slice(0, 3)))
})

t.test('every frame of the protocol is described', async (t) => {
  const described = new Set([...Object.keys(CLIENT_FRAMES), ...Object.keys(SERVER_FRAMES)])
  // These two are events of the browser's EventSource: names that no frame has.
  t.same([...RESERVED_TYPES].filter((type) => !described.has(type)), ['open', 'realtime'])
})
