/*
 * What the compiler has to prove; compiled by types.test.ts, never run. An expected error that is missing is an
 * error, and so is another type.
 */
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { bridge } from '../../lib/bridge/index.js'
import type { Client } from '../../lib/client/index.js'
import { createPublisher, defineRoom, type Connection, type HandlersOf, type Position } from '../../lib/index.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
function is<A, B> (..._proof: Equal<A, B> extends true ? [] : [never]): void {}

function equal<A> (): <B>(value: B, ..._proof: Equal<A, B> extends true ? [] : [never]) => void { return () => {} }

declare const app: FastifyInstance
declare const client: Client

const chat = defineRoom('chat/:id', {
  messages: {
    say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ id: Type.String() }) },
    type: Type.Object({})
  },
  events: {
    said: Type.Object({ id: Type.String(), text: Type.String() }),
    score: { data: Type.Object({ team: Type.String(), points: Type.Integer() }), delivery: 'latest', key: 'team' }
  },
  member: Type.Object({ name: Type.String() })
})
const board = defineRoom('board', { events: { metric: Type.Object({ value: Type.Number() }) } })
const pair = defineRoom('org/:org/user/:user', {})

// What a handler is given, destructured or not, as method or as arrow, and what it may do.
app.room(chat, {
  presence: ({ params, userId }) => {
    is<typeof params, { id: string }>()
    is<typeof userId, string>()
    return { name: userId }
  },
  authorize ({ params }) {
    is<typeof this, FastifyInstance>()
    return params.id !== ''
  },
  onJoin ({ connection, resumed, room }) {
    is<typeof resumed, boolean>()
    is<typeof room.name, string>()
    is<typeof connection.id, string>()
    connection.send('said', { id: '1', text: 'x' })
    // @ts-expect-error no such event
    connection.send('sayd', {})
    // @ts-expect-error data that does not fit
    connection.send('said', { id: 1, text: 'x' })
  },
  onLeave ({ code, connection }) {
    is<typeof code, string>()
    is<typeof connection.id, string>()
    // @ts-expect-error it has left
    connection.send('said', { id: '1', text: 'x' })
  },
  on: {
    async say ({ data, sender, messageId, room }) {
      is<typeof data, { text: string }>()
      is<typeof sender, string | undefined>()
      is<typeof messageId, string | undefined>()
      const { position, recipients } = await room.broadcast('score', { team: 'a', points: 1 }, { except: sender })
      equal<Position | undefined>()(position)
      equal<number>()(recipients)
      // @ts-expect-error no such event
      await room.broadcast('nope', {})
      // @ts-expect-error data that does not fit
      await room.broadcast('score', { team: 'a' })
      return { id: data.text }
    },
    type: ({ data }) => { is<typeof data, {}>() }
  }
})

// @ts-expect-error options are needed: chat has messages
app.room(chat)
// @ts-expect-error the reply is missing
app.room(chat, { presence: () => ({ name: 'x' }), on: { say: async () => {}, type: () => {} } })
// @ts-expect-error the reply does not fit
app.room(chat, { presence: () => ({ name: 'x' }), on: { say: async () => ({ id: 7 }), type: () => {} } })
// @ts-expect-error a handler is missing
app.room(chat, { presence: () => ({ name: 'x' }), on: { say: async () => ({ id: 'x' }) } })
// @ts-expect-error a handler for no message
app.room(chat, { presence: () => ({ name: 'x' }), on: { say: async () => ({ id: 'x' }), type: () => {}, nope: () => {} } })
// @ts-expect-error member data is missing
app.room(chat, { on: { say: async () => ({ id: 'x' }), type: () => {} } })
// @ts-expect-error member data does not fit
app.room(chat, { presence: () => ({ name: 1 }), on: { say: async () => ({ id: 'x' }), type: () => {} } })
// @ts-expect-error authorize answers yes or no
app.room(board, { authorize: () => 'yes' })
app.room(board)
app.room(board, { presence: true, history: false, flush: 16, capacity: 5 })
app.room(pair).room(board)

// Handlers in a file of their own.
const on: HandlersOf<typeof chat> = {
  say: ({ data }) => ({ id: data.text }),
  async type () {}
}
app.room(chat, { presence: () => ({ name: 'x' }), on })
// @ts-expect-error a handler is missing
const less: HandlersOf<typeof chat> = { type () {} }
void less

// Addresses.
is<typeof chat.name, 'chat/:id'>()
chat.at({ id: '1' })
pair.at({ org: 'a', user: 'b' })
board.at()
// @ts-expect-error params are needed
chat.at()
// @ts-expect-error a param is missing
pair.at({ org: 'a' })
// @ts-expect-error a param is a string
chat.at({ id: 1 })
// @ts-expect-error no such param
board.at({ id: '1' })

// Schemas of params.
defineRoom('a/:n', { params: Type.Object({ n: Type.String({ maxLength: 5 }) }) })
// @ts-expect-error every param is a string
defineRoom('a/:n', { params: Type.Object({ n: Type.Integer() }) })
// @ts-expect-error params describe exactly those of the pattern
defineRoom('a/:n', { params: Type.Object({ n: Type.String(), m: Type.String() }) })
// @ts-expect-error a latest event needs a key
defineRoom('x', { events: { e: { data: Type.Object({ k: Type.String() }), delivery: 'latest' } } })
// @ts-expect-error that is a property of its data
defineRoom('x', { events: { e: { data: Type.Object({ k: Type.String() }), delivery: 'latest', key: 'nope' } } })

// Texts that grow: what grows is left out of the head, and typed by the contract where it is written and read.
const ai = defineRoom('ai/:id', {
  messages: { ask: Type.Object({}) },
  events: {
    answer: {
      data: Type.Object({ id: Type.String(), text: Type.String(), model: Type.Optional(Type.String()) }),
      delivery: 'append',
      key: 'id',
      append: 'text'
    },
    steps: {
      data: Type.Object({ run: Type.Integer(), list: Type.Array(Type.Object({ name: Type.String() })) }),
      delivery: 'append',
      key: 'run',
      append: 'list'
    },
    said: Type.Object({ text: Type.String() })
  }
})
// @ts-expect-error an append event needs what grows
defineRoom('x', { events: { e: { data: Type.Object({ k: Type.String(), t: Type.String() }), delivery: 'append', key: 'k' } } })
// @ts-expect-error that is neither a string nor an array
defineRoom('x', { events: { e: { data: Type.Object({ k: Type.String(), t: Type.Number() }), delivery: 'append', key: 'k', append: 't' } } })
// @ts-expect-error an append event needs a key
defineRoom('x', { events: { e: { data: Type.Object({ k: Type.String(), t: Type.String() }), delivery: 'append', append: 't' } } })

app.room(ai, {
  append: { size: 1_000, ttl: 1_000 },
  on: {
    async ask ({ room, signal }) {
      const writer = room.stream('answer', { id: 'a', model: 'm' }, { signal })
      equal<(chunk: string) => Promise<void>>()(writer.write)
      await writer.end({ error: { code: 'odd', message: 'so' } })
      const steps = await room.stream('steps', { run: 1 })
      equal<(chunk: { name: string }) => Promise<void>>()(steps.write)
      // @ts-expect-error what grows is written
      room.stream('answer', { id: 'a', text: '' })
      // @ts-expect-error the key is missing
      room.stream('answer', {})
      // @ts-expect-error no text of this event grows
      room.stream('said', {})
    }
  }
})

export async function texts (): Promise<void> {
  const writer = app.rooms.stream(ai.at({ id: '1' }), 'answer', { id: 'a' })
  equal<(chunk: string) => Promise<void>>()(writer.write)
  const text = await app.rooms.read(ai.at({ id: '1' }), 'steps', 1)
  equal<Array<{ name: string }> | undefined>()(text?.data.list)
  await app.rooms.stream('by/name', 'anything', { id: 1 }).write({})
  const room = client.join(ai.at({ id: '1' }))
  room.on('answer', ({ data, added, end }) => {
    is<typeof data.text, string>()
    is<typeof added, string>()
    is<typeof end, 'done' | 'lost' | { readonly code: string, readonly message: string } | undefined>()
  })
  for await (const part of room.stream('steps', 1)) equal<Array<{ name: string }>>()(part)
}

const asks = defineRoom('asks/:id', {
  events: {
    confirm: { data: Type.Object({ order: Type.String() }), reply: Type.Object({ accepted: Type.Boolean() }) },
    told: Type.Object({ text: Type.String() })
  }
})

// Questions: typed by the address of their room.
export async function questions (): Promise<void> {
  const room = asks.at({ id: '1' })
  equal<{ accepted: boolean }>()(await app.rooms.request({ user: 'ada', room }, 'confirm', { order: '1' }, { timeout: 5 }))
  is<unknown, Awaited<ReturnType<typeof app.rooms.request>>>()
  await app.rooms.request({ connection: 'c' }, 'anything', {})
  await app.rooms.broadcast(room, 'confirm', { order: '1' }, { except: ['c', { user: 'ada' }, { room }] })
  // @ts-expect-error data that does not fit
  await app.rooms.request({ user: 'ada', room }, 'confirm', {})
  // @ts-expect-error the event has no reply
  await app.rooms.request({ user: 'ada', room }, 'told', { text: 'x' })
  client.join(room).on('confirm', ({ data }) => { equal<string>()(data.order) })
  await app.rooms.close(room, { code: 'draining' })
  await app.rooms.revoke({ user: 'ada', room }, { message: 'no' })
  equal<string | undefined>()((await app.rooms.connections({ room: room.name })).cursor)
  equal<string | undefined>()((await app.rooms.connections({ room })).cursor)
  // @ts-expect-error no word of the table
  await app.rooms.close(room, { code: 'odd' })
}

// What the app asks of a room: typed by its address, open by its name.
export async function asked (): Promise<void> {
  const room = chat.at({ id: '1' })
  equal<Array<{ userId: string, data: { name: string } }>>()([...(await app.rooms.members(room))])
  const [member] = await app.rooms.members(room)
  equal<{ name: string } | undefined>()(member?.data)
  equal<undefined>()((await app.rooms.members(board))[0]?.data)
  const [named] = await app.rooms.members(room.name)
  equal<unknown>()(named?.data)
  const either: string | typeof room = room.name
  equal<unknown>()((await app.rooms.members(either))[0]?.data)
  const { events: [kept] } = await app.rooms.history(room, { limit: 1 })
  if (kept?.type === 'said') equal<{ id: string, text: string }>()(kept.data)
  else equal<{ team: string, points: number } | undefined>()(kept?.data)
  equal<number | undefined>()(kept?.offset)
  // @ts-expect-error no such event
  void (kept?.type === 'nope')
  const { events: [open] } = await app.rooms.history(room.name)
  equal<string | undefined>()(open?.type)
  equal<unknown>()(open?.data)
  // Texts that grow are no events of the history.
  equal<'said' | undefined>()((await app.rooms.history(ai.at({ id: '1' }))).events[0]?.type)
  equal<ReadonlyMap<string, { team: string, points: number }> | undefined>()((await app.rooms.state(room)).get('score'))
  equal<string | undefined>()((await app.rooms.read(ai.at({ id: '1' }), 'answer', 'a'))?.data.text)
  equal<unknown>()((await app.rooms.read('by/name', 'answer', 'a'))?.data.text)
}

// Broadcasts: typed by address or definition without params, open by name.
export async function broadcasts (): Promise<void> {
  await app.rooms.broadcast(chat.at({ id: '1' }), 'said', { id: '1', text: 'x' })
  await app.rooms.broadcast(board, 'metric', { value: 1 })
  await app.rooms.broadcast('by/name', 'anything', { at: 'all' })
  // @ts-expect-error no such event
  await app.rooms.broadcast(board, 'nope', {})
  // @ts-expect-error data that does not fit
  await app.rooms.broadcast(chat.at({ id: '1' }), 'said', { id: 1, text: 'x' })
  // @ts-expect-error chat has a param: it is no address
  await app.rooms.broadcast(chat, 'said', { id: '1', text: 'x' })
  equal<{ acked: string[], missing: string[], left: string[], unknown: number }>()(await app.rooms.broadcastWithAck(board, 'metric', { value: 1 }, { timeout: 5, except: 'x' }))
  is<Awaited<ReturnType<typeof app.rooms.ping>>, { alive: boolean, latency?: number }>()
  // @ts-expect-error a target is a user or a connection
  await app.rooms.join('ada', board)
  await app.rooms.revoke({ tokenId: 'x' }, { until: 5 })
  await app.rooms.remove(board, 'metric', 'x')
  // @ts-expect-error no such event
  await app.rooms.remove(board, 'nope', 'x')
  equal<ReadonlyMap<string, { value: number }> | undefined>()((await app.rooms.state(board)).get('metric'))
  const publisher = await createPublisher({ adapter: undefined as never, rooms: [chat, board, pair] })
  await publisher.broadcast(chat.at({ id: '1' }), 'said', { id: '1', text: 'x' })
  // @ts-expect-error data that does not fit
  await publisher.broadcast(board, 'metric', { value: 'x' })
}

// A bridge: what its map makes is typed by the address.
export async function bridges (): Promise<void> {
  const records = [{ id: '1' }, { id: '2' }]
  const key = (id: string): { idempotencyKey: string } => ({ idempotencyKey: id })
  const { accepted } = await bridge(app.rooms, records, ({ id }) => id === ''
    ? undefined
    : { room: chat.at({ id }), event: 'said', data: { id, text: 'x' }, ...key(id) })
  equal<number>()(accepted)
  await bridge(app.rooms, records, async ({ id }) => ({ room: board, event: 'metric', data: { value: 1 }, ...key(id) }))
  await bridge(app.rooms, records, ({ id }) => ({ room: `by/${id}`, event: 'anything', data: 'at all', ...key(id) }))
  // @ts-expect-error data that does not fit
  await bridge(app.rooms, records, ({ id }) => ({ room: chat.at({ id }), event: 'said', data: { id: 1 }, ...key(id) }))
  // @ts-expect-error a record needs a key
  await bridge(app.rooms, records, () => ({ room: board, event: 'metric', data: { value: 1 } }))
}

// Replies, and the chain of the reply.
app.get<{ Params: { id: string } }>('/x', async (request, reply) => {
  is<typeof request.params.id, string>()
  // @ts-expect-error data that does not fit
  reply.broadcast(board, 'metric', { value: 'x' })
  return await reply.broadcast(board, 'metric', { value: 1 }).code(201).send({})
})

// A connection of onJoin knows the events of its room.
declare const connection: Connection<{ metric: { value: number } }>
connection.send('metric', { value: 1 })
