import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import realtime, { createPublisher, defineRoom } from '../../lib/index.js'
import { MemoryAdapter } from '../../lib/adapters/memory/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { ai } from '../helpers/growing-room.js'
import { chat, connect, declareChat, everyone, inbox, start } from '../helpers/net.js'
import { until } from '../helpers/servers.js'

const circle: Record<string, unknown> = {}
circle.self = circle
const thrower = {
  get name (): string { throw new Error('a getter') },
  toString (): string { throw new Error('a text') }
}

/** A property that cannot be read, as one that an object relational mapper loads late. */
function unreadable (name: string, thrown: unknown = new Error('a getter')): object {
  return Object.defineProperty({ text: 'x', by: 'x', id: 'x' }, name, { enumerable: true, get () { throw thrown } })
}

/** What JavaScript may give where TypeScript asks for something. */
const ANYTHING: readonly unknown[] = [
  undefined, null, true, 0, -1, NaN, Infinity, 1n, '', '.', '\ud800', 'a\u0000b', 'x'.repeat(300), '鍵'.repeat(30),
  Symbol('s'), () => {}, [], {}, circle, thrower,
  unreadable('text'), unreadable('id'), unreadable('user', thrower), unreadable('timeout'), unreadable('order', null),
  { text: circle, by: 'x' }, { id: circle }, { text: 'x', by: 'x', more: circle },
  { user: null }, { user: '\ud800' }, { user: '' }, { user: 5 }, { connection: 5 }, { tokenId: 5 }, { tokenId: '' },
  { timeout: 'x' }, { timeout: NaN }, { except: 5 }, { except: unreadable('user') }, { except: [unreadable('room', null)] }, { idempotencyKey: Symbol('s') }, { since: 5 },
  { since: { epoch: 5 } }, { limit: NaN }, { limit: 0 }, { cursor: 5 }, { cursor: 'x' },
  { room: 5 }, { room: '../x' }, { until: 'x' }, { until: NaN }, { message: 5 }
]

type Call = (...args: never[]) => unknown
const GOOD: Readonly<Record<string, readonly unknown[]>> = {
  broadcast: ['chat/1', 'said', { text: 'x', by: 'ada' }, {}],
  broadcastWithAck: ['chat/1', 'said', { text: 'x', by: 'ada' }, { timeout: 1 }],
  broadcastAll: ['notice', { text: 'x' }],
  sendToUser: ['ada', 'shipped', { order: 'x' }],
  join: [{ user: 'ada' }, 'chat/1'],
  leave: [{ user: 'ada' }, 'chat/1'],
  ping: [{ user: 'ada' }, { timeout: 1 }],
  request: [{ user: 'ada' }, 'shipped', { order: 'x' }, { timeout: 1 }],
  close: ['chat/1', { code: 'draining' }],
  revoke: [{ user: 'bob' }, { until: 1 }],
  connections: [{ user: 'ada', room: 'chat/1', limit: 1 }],
  members: ['chat/1'],
  count: ['chat/1'],
  isOnline: ['ada', { grace: false }],
  history: ['chat/1', { limit: 1 }],
  remove: ['chat/1', 'score', 'red'],
  state: ['chat/1'],
  stream: ['ai/1', 'answer', { id: 'a' }, {}],
  read: ['ai/1', 'answer', 'a'],
  cancel: ['ai/1', 'answer', 'a'],
  clear: ['chat/1']
}

const CODED = /^(REALTIME_ERR_[A-Z_]+|[a-z_]+)$/

/** Each argument in turn is replaced by anything. */
function * argumentsOf (good: readonly unknown[]): Generator<unknown[]> {
  for (let at = 0; at < good.length; at++) {
    for (const each of ANYTHING) yield good.map((value, index) => index === at ? each : value)
  }
  yield []
  yield new Array(good.length).fill(null) as unknown[]
}

async function outcome (call: () => unknown): Promise<string> {
  let given: unknown
  try {
    given = call()
  } catch (error) {
    return `thrown: ${String((error as Error).message)}`
  }
  // A writer whose key is still being taken is not a promise, and is awaited as one.
  if (typeof (given as { then?: unknown } | undefined)?.then !== 'function') return 'no promise'
  return await (given as Promise<unknown>).then(
    () => 'resolved',
    ({ code, stack }: { code?: unknown, stack?: string }) =>
      typeof code === 'string' && CODED.test(code) ? 'coded' : `rejected without a code: ${String(stack).slice(0, 400)}`
  )
}

/** The calls of an app with a room of each kind. */
async function everyRoom (t: Test): Promise<Record<string, Call>> {
  const { app } = await start(t, {
    declare: (app) => {
      declareChat(app, { presence: true })
      app.room(inbox)
      app.room(everyone)
      app.room(ai)
    }
  })
  return app.rooms as unknown as Record<string, Call>
}

for (const [method, good] of Object.entries(GOOD)) {
  t.test(`app.rooms.${method} rejects with a code and never throws, whatever it is given`, async (t) => {
    const rooms = await everyRoom(t)
    // The question is one that nobody can answer.
    const wanted = method === 'request' ? 'coded' : 'resolved'
    t.equal(await outcome(() => rooms[method]!(...good as never[])), wanted, 'a good call')
    const seen: Record<string, number> = {}
    for (const args of argumentsOf(good)) {
      const result = await outcome(() => rooms[method]!(...args as never[]))
      seen[result] = (seen[result] ?? 0) + 1
      if (result !== 'resolved' && result !== 'coded') t.fail(result, { given: args.map((arg) => typeof arg) })
    }
    t.ok(seen.coded! > 10, JSON.stringify(seen))
  })
}

const ADDRESSES: Readonly<Record<string, unknown>> = { 'chat/1': chat.at({ id: '1' }), 'ai/1': ai.at({ id: '1' }) }

/** The same with the address of each room in place of its name, or what `other` makes of it. */
function addressed (value: unknown, other = (address: unknown): unknown => address): unknown {
  if (typeof value === 'string') return value in ADDRESSES ? other(ADDRESSES[value]) : value
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, addressed(each, other)]))
}

/** What names rooms in the options and targets of calls. */
const NAMING: Readonly<Record<string, ReadonlyArray<readonly unknown[]>>> = {
  broadcast: [['chat/1', 'said', { text: 'x', by: 'ada' }, { except: { room: 'chat/1' } }]],
  broadcastWithAck: [['chat/1', 'said', { text: 'x', by: 'ada' }, { timeout: 1, except: { room: 'chat/1' } }]],
  join: [[{ room: 'chat/1' }, 'ai/1']],
  leave: [[{ room: 'chat/1' }, 'ai/1']],
  close: [[{ room: 'chat/1' }]],
  revoke: [[{ room: 'chat/1' }], [{ user: 'bob', room: 'chat/1' }]],
  connections: [[{ room: 'chat/1' }]]
}

t.test('every call takes the address of a room wherever it takes its name, and refuses what is neither', async (t) => {
  const rooms = await everyRoom(t)
  for (const [method, good] of Object.entries(GOOD)) {
    for (const args of [good, ...NAMING[method] ?? []]) {
      if (JSON.stringify(addressed(args)) === JSON.stringify({ ...args })) continue
      const given = (other?: (address: unknown) => unknown): never[] =>
        Object.values(addressed(args, other) as object) as never[]
      const said = `${method} ${JSON.stringify(args)}`
      t.equal(await outcome(() => rooms[method]!(...given())), 'resolved', said)
      t.equal(await outcome(() => rooms[method]!(...given(() => chat))), 'coded', `${said} with a family of rooms`)
    }
  }
})

t.test('every method of app.rooms that gives a promise is in the table', async (t) => {
  const { app } = await start(t)
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(app.rooms))
    .filter((name) => !['constructor', 'publish', 'isAccepting', 'drain', 'stats'].includes(name))
  t.same(names.sort(), Object.keys(GOOD).sort())
  for (const bad of [null, 5, { timeout: NaN }, { timeout: 'x' }]) {
    t.equal(await outcome(() => app.rooms.drain(bad as never)), 'coded')
  }
})

t.test('the room of a handler rejects with a code and never throws, whatever it is given', async (t) => {
  const deck = defineRoom('deck/:id', {
    messages: { take: Type.Object({}) },
    events: {
      said: Type.Object({ text: Type.String() }),
      score: { data: Type.Object({ team: Type.String() }), delivery: 'latest', key: 'team' },
      answer: {
        data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text'
      }
    },
    member: Type.Object({ mood: Type.Optional(Type.Any()) })
  })
  let taken: object | undefined
  const server = await start(t, {
    declare: (app) => {
      app.room(deck, {
        presence: { data: () => ({ mood: 'new' }), update: true },
        on: { take ({ room }) { taken = room } }
      })
    }
  })
  const peer = await connect(server, { rooms: ['deck/1'], token: server.token('ada') })
  peer.send({ type: 'take', id: '1', room: 'deck/1', data: {} })
  await peer.next('ack')
  const room = taken as Record<string, Call>
  const calls: Readonly<Record<string, readonly unknown[]>> = {
    broadcast: ['said', { text: 'x' }, {}],
    remove: ['score', 'red'],
    presence: [{ mood: 'good' }],
    stream: ['answer', { id: 'a' }, {}],
    cancel: ['answer', 'a']
  }
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(room)).filter((name) => name !== 'constructor')
  t.same(names.sort(), Object.keys(calls).sort(), 'every method is tried')
  for (const [method, good] of Object.entries(calls)) {
    t.equal(await outcome(() => room[method]!(...good as never[])), 'resolved', `a good call of ${method}`)
    const data: unknown[][] = method === 'presence' ? ANYTHING.map((mood) => [{ mood }]) : []
    for (const args of [...argumentsOf(good), ...data]) {
      const result = await outcome(() => room[method]!(...args as never[]))
      if (result !== 'resolved' && result !== 'coded') t.fail(result, { method, given: args.map((arg) => typeof arg) })
    }
  }
  for (const bad of [null, 5, 'x', { idempotencyKey: 5 }, { idempotencyKey: null }, { except: 5 }]) {
    const call = room.broadcast!(...['said', { text: 'x' }, bad] as never[])
    await t.rejects(call as Promise<unknown>, { code: 'REALTIME_ERR_OPTIONS' })
  }
  for (const bad of [null, 5, 'x', { signal: 5 }, { signal: {} }, { signal: null }]) {
    for (const rooms of [room, server.app.rooms as unknown as Record<string, Call>]) {
      const place = rooms === room ? [] : ['deck/1']
      const writer = rooms.stream!(...[...place, 'answer', { id: 'b' }, bad] as never[])
      await t.rejects(Promise.resolve(writer), { code: 'REALTIME_ERR_OPTIONS' })
    }
  }
})

t.test('before the app is ready all of them reject, too', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'x' } })
  const rooms = app.rooms as unknown as Record<string, Call>
  for (const [method, good] of Object.entries(GOOD)) {
    t.equal(await outcome(() => rooms[method]!(...good as never[])), 'coded', method)
  }
})

t.test('a publisher rejects with a code and never throws, whatever it is given', async (t) => {
  const publisher = await createPublisher({ adapter: new MemoryAdapter(), rooms: [inbox, everyone, chat] })
  t.teardown(async () => { await publisher.close() })
  const methods = publisher as unknown as Record<string, Call>
  const calls: Readonly<Record<string, readonly unknown[]>> = {
    broadcast: ['@all', 'notice', { text: 'x' }, {}],
    broadcastAll: GOOD.broadcastAll!,
    sendToUser: GOOD.sendToUser!,
    remove: GOOD.remove!
  }
  t.same(Object.keys(publisher).sort(), [...Object.keys(calls), 'close'].sort(), 'every method is tried')
  for (const [method, good] of Object.entries(calls)) {
    t.equal(await outcome(() => methods[method]!(...good as never[])), 'resolved', 'a good call')
    for (const args of argumentsOf(good)) {
      const result = await outcome(() => methods[method]!(...args as never[]))
      if (result !== 'resolved' && result !== 'coded') t.fail(result, { method, given: args.map((arg) => typeof arg) })
    }
  }
})

t.test('what a publisher publishes is what the data was at the call, as by app.rooms', async (t) => {
  const published: unknown[] = []
  class Heard extends MemoryAdapter {
    override publish (...args: Parameters<MemoryAdapter['publish']>): ReturnType<MemoryAdapter['publish']> {
      published.push(JSON.parse(args[1].data))
      return super.publish(...args)
    }
  }
  const publisher = await createPublisher({ adapter: new Heard(), rooms: [inbox, everyone, chat] })
  t.teardown(async () => { await publisher.close() })
  const data = { text: '', by: 'cron' }
  const results = ['1', '2', '3'].map(async (text) => {
    data.text = text
    return await publisher.broadcast('chat/1', 'said', data)
  })
  await Promise.all(results)
  t.same(published, ['1', '2', '3'].map((text) => ({ text, by: 'cron' })))
})

t.test('a call of a publisher that fails and is not awaited is told to its log, or as a warning of the process', async (t) => {
  class Away extends MemoryAdapter {
    override publish (): never { throw new Refusal('unavailable') }
  }
  const told: string[] = []
  const log = { info: () => undefined, warn: (_object: object, message: string) => { told.push(message) } }
  const warn = (warning: Error): void => { told.push(`${warning.name} ${warning.message}`) }
  process.on('warning', warn)
  t.teardown(() => process.off('warning', warn))
  for (const given of [{ log }, {}]) {
    const publisher = await createPublisher({ adapter: new Away(), rooms: [inbox, everyone, chat], ...given })
    t.teardown(async () => { await publisher.close() })
    void publisher.broadcast('chat/1', 'said', { text: 'x', by: 'ada' })
    void publisher.broadcastAll('notice', { text: 'x' })
    void publisher.sendToUser('ada', 'shipped', { order: 'x' })
    await t.rejects(publisher.broadcastAll('notice', { text: 'x' }), { code: 'unavailable' })
  }
  await until('all are told', () => told.length === 6)
  t.same(told.filter((each) => each === 'a broadcast failed').length, 3)
  t.match(told.find((each) => each.startsWith('RealtimeWarning')), /a broadcast failed: .*temporarily unavailable/)
})
