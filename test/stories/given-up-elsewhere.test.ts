import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { defineRoom } from '../../lib/index.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { connect, poll, start, statsOf, type NetPeer, type Running } from '../helpers/net.js'
import { missing, startNats, startRedis, until } from '../helpers/servers.js'

const model = defineRoom('model/:id', {
  messages: { ask: { data: Type.Object({ text: Type.String() }), reply: Type.Object({}), concurrent: true } }
})

interface Asked {
  /** Asked for when it is read first. */
  readonly signal: AbortSignal
  readonly text: string
  answer (): void
}

interface Place {
  readonly handlers: Running
  readonly connections: Running
  readonly asked: Asked[]
  /** Of the POSTs, one for each handler. */
  readonly statuses: Array<Promise<number>>
}

interface Broker {
  readonly start: typeof startRedis
  readonly make: (port: number) => Adapter
}

const BROKERS: ReadonlyArray<readonly [string, string | false, (t: Test) => Promise<() => Adapter>, Broker]> = ([
  ['redis', 'redis-server', { start: startRedis, make: (port) => redis({ url: `redis://127.0.0.1:${port}` }) }],
  ['nats', 'nats-server', { start: startNats, make: (port) => nats({ url: `nats://127.0.0.1:${port}` }) }]
] as ReadonlyArray<readonly [string, string, Broker]>).map(([name, program, broker]) => [
  name,
  missing(program),
  async (t) => {
    const { port } = await broker.start(t)
    return () => broker.make(port)
  },
  broker
])

/** A node whose handlers wait for a model, and another one with the connections whose messages are posted to it. */
async function place (t: Test, make: () => Adapter): Promise<Place> {
  const asked: Asked[] = []
  const options = {
    presence: { grace: 200 },
    declare: (app: Running['app']) => {
      app.room(model, {
        on: {
          async ask (context) {
            return await new Promise((resolve) => {
              const { text } = context.data
              asked.push({ get signal () { return context.signal }, text, answer: () => { resolve({}) } })
            })
          }
        }
      })
    }
  }
  const handlers = await start(t, { ...options, adapter: make() })
  const connections = await start(t, { ...options, adapter: make() })
  return { handlers, connections, asked, statuses: [] }
}

/** Posts to the node of the handlers, on behalf of a connection of the other one. */
async function ask (
  { handlers, asked, statuses }: Place,
  user: string,
  connection: string,
  room = 'model/1',
  isLate = false
): Promise<Asked & { readonly status: Promise<number> }> {
  const text = `${user} in ${room}, number ${asked.length}`
  const status = fetch(`${handlers.url}/ws`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${handlers.token(user)}`,
      'content-type': 'application/json',
      'x-connection-id': connection,
      connection: 'close'
    },
    body: JSON.stringify({ type: 'ask', room, id: `m${asked.length}`, data: { text } })
  }).then(({ status }) => status)
  statuses.push(status)
  await until('the handler runs', () => asked.some((each) => each.text === text))
  const handler = asked.find((each) => each.text === text)!
  if (!isLate) t.equal(handler.signal.aborted, false)
  // A fence: the other node knows of it before it answers this.
  await handlers.app.rooms.connections({ user })
  return Object.assign(handler, { status })
}

/** Lets all handlers answer, so that no POST is under way when its node closes. */
async function answerAll ({ asked, statuses }: Place): Promise<void> {
  for (const { answer } of asked) answer()
  await Promise.all(statuses)
}

async function reasonOf (what: string, { signal }: Asked): Promise<unknown> {
  await until(`the signal is aborted: ${what}`, () => signal.aborted)
  const { code, message, room } = signal.reason as { code: string, message: string, room?: string }
  return { code, message, room }
}

/** A fence: whatever the node of the connections has told before this is known to that of the handlers. */
async function settled (own: Place, fence: NetPeer): Promise<void> {
  const last = await ask(own, 'eve', fence.id, 'model/9')
  await own.connections.app.rooms.leave({ user: 'eve' }, 'model/9')
  await reasonOf('the fence', last)
  fence.cut()
}

for (const [name, skip, begin] of BROKERS) {
  t.test(`${name}: what ends or moves a connection on its node aborts the signals of its handlers on another one`, { skip }, async (t) => {
    const own = await place(t, await begin(t))
    const { connections, handlers } = own
    const enter = async (user: string): Promise<NetPeer> => {
      const rooms = ['model/1', 'model/2', 'model/9']
      const peer = await connect(connections, { transport: 'sse', rooms, token: connections.token(user) })
      t.teardown(() => { peer.cut() })
      return peer
    }
    const ada = await enter('ada')
    const bob = await enter('bob')
    // Of each pair the call is made on the node of the connection, and on that of the handler.
    const left = [await ask(own, 'ada', ada.id), await ask(own, 'bob', bob.id)]
    const kept = [await ask(own, 'ada', ada.id, 'model/2'), await ask(own, 'bob', bob.id, 'model/2')]
    await connections.app.rooms.leave({ room: 'model/1' }, 'model/1')
    for (const each of left) t.match(await reasonOf('leave by room', each), { code: 'not_joined', room: 'model/1' })
    await handlers.app.rooms.leave({ user: 'ada' }, 'model/2')
    t.match(await reasonOf('leave by user', kept[0]!), { code: 'not_joined', room: 'model/2' })
    t.equal(kept[1]!.signal.aborted, false, 'of another user')
    await handlers.app.rooms.revoke({ room: 'model/2' }, { message: 'enough' })
    t.match(await reasonOf('revoke by room', kept[1]!), { code: 'revoked', message: 'enough' })

    const fence = await enter('eve')
    const [cat, dan, fay, gil] = [await enter('cat'), await enter('dan'), await enter('fay'), await enter('gil')]
    const closed = [await ask(own, 'cat', cat.id), await ask(own, 'dan', dan.id, 'model/2')]
    const gone = await ask(own, 'fay', fay.id)
    const expelled = await ask(own, 'gil', gil.id)
    const running = await ask(own, 'gil', gil.id, 'model/2')
    await handlers.app.rooms.revoke({ user: 'gil', room: 'model/1' })
    t.match(await reasonOf('revoke of a room of a user', expelled), { code: 'revoked', room: 'model/1' })
    await handlers.app.rooms.close({ connection: cat.id })
    t.match(await reasonOf('close of a connection', closed[0]!), { code: 'unavailable' })
    await connections.app.rooms.close({ user: 'dan' })
    t.match(await reasonOf('close by user', closed[1]!), { code: 'unavailable' })
    fay.cut()
    t.match(await reasonOf('the connection has ended', gone), { code: 'unavailable', message: /gone/ })
    await settled(own, fence)
    t.equal(running.signal.aborted, false, 'of another room')
    running.answer()
    t.equal(await running.status, 200)
    await answerAll(own)
    t.same([...handlers.loud, ...connections.loud], [])
  })
}

for (const [name, skip, begin] of BROKERS) {
  t.test(`${name}: a handler that asks for its signal too late is told of what happened on another node before`, { skip }, async (t) => {
    const own = await place(t, await begin(t))
    const { connections, handlers } = own
    const enter = async (user: string): Promise<NetPeer> => {
      const peer = await connect(connections, { transport: 'sse', rooms: ['model/1'], token: connections.token(user) })
      t.teardown(() => { peer.cut() })
      return peer
    }
    const [ada, bob] = [await enter('ada'), await enter('bob')]
    const taken = await ask(own, 'ada', ada.id, 'model/1', true)
    const gone = await ask(own, 'bob', bob.id, 'model/1', true)
    await connections.app.rooms.leave({ room: 'model/1' }, 'model/1')
    await connections.app.rooms.close({ user: 'bob' })
    await until('it is out', async () => (await handlers.app.rooms.connections({ user: 'bob' })).connections.length === 0)
    t.match(await reasonOf('taken before it asked', taken), { code: 'not_joined', room: 'model/1' })
    t.match(await reasonOf('gone before it asked', gone), { code: 'unavailable' })
    await answerAll(own)
    t.same([...handlers.loud, ...connections.loud], [])
  })
}

for (const [name, skip, , broker] of BROKERS) {
  t.test(`${name}: a handler whose connection ends while a link of either node is broken is told when it is back`, { skip }, async (t) => {
    const { port } = await broker.start(t)
    // One for each node, in the order of their start.
    const proxies = [new FaultProxy(port), new FaultProxy(port)] as const
    const ports = await Promise.all(proxies.map((proxy) => proxy.listen()))
    t.teardown(async () => { for (const proxy of proxies) await proxy.close() })
    const left = [...ports]
    const own = await place(t, () => broker.make(left.shift()!))
    const [ofHandlers, ofConnections] = proxies
    const { connections, handlers } = own
    const enter = async (user: string): Promise<NetPeer> => {
      const peer = await connect(connections, { transport: 'sse', rooms: ['model/1'], token: connections.token(user) })
      t.teardown(() => { peer.cut() })
      return peer
    }
    const isUp = async ({ app }: Running): Promise<boolean> => {
      return (await app.rooms.stats() as unknown as { adapter: { isUp: boolean } }).adapter.isUp
    }
    const [ada, bob] = [await enter('ada'), await enter('bob')]

    const told = await ask(own, 'ada', ada.id)
    ofHandlers.isDown = true
    ofHandlers.cut()
    await until('the node of the handler is cut off', async () => !await isUp(handlers))
    ada.cut()
    await until('it has ended', async () => (await statsOf(connections.app)).connections.total === 1)
    t.equal(told.signal.aborted, false)
    ofHandlers.isDown = false
    t.match(await reasonOf('what was told is asked for again', told), { code: 'unavailable' })

    await until('it is back', async () => await isUp(handlers))
    const late = await ask(own, 'bob', bob.id, 'model/1', true)
    ofConnections.isDown = true
    ofConnections.cut()
    await until('the node of the connection is cut off', async () => !await isUp(connections))
    t.equal(late.signal.aborted, false, 'it asks now, and is not heard')
    ofConnections.isDown = false
    await until('it is back', async () => await isUp(connections))
    bob.cut()
    t.match(await reasonOf('what was asked is asked again', late), { code: 'unavailable' })
    await answerAll(own)
  })
}

const [[, skip, begin]] = BROKERS as [typeof BROKERS[number]]

t.test('a connection that polls is followed to the node that it moves to', { skip }, async (t) => {
  const own = await place(t, await begin(t))
  const { connections, handlers } = own
  const token = connections.token('ada')
  const first = await poll(connections, { rooms: ['model/1', 'model/2'], token })
  const far = await ask(own, 'ada', first.connectionId!)
  await poll(handlers, { rooms: ['model/1', 'model/2'], token, query: { since: first.cursor!, wait: '50' } })
  const near = await ask(own, 'ada', first.connectionId!)
  await connections.app.rooms.leave({ room: 'model/1' }, 'model/1')
  t.match(await reasonOf('begun before', far), { code: 'not_joined' })
  t.match(await reasonOf('begun after', near), { code: 'not_joined' })
  await answerAll(own)
})

t.test('a node that closes aborts no handlers of other nodes, whose callers wait for their answers', { skip }, async (t) => {
  const own = await place(t, await begin(t))
  const peer = await connect(own.connections, { transport: 'sse', rooms: ['model/1'], token: own.connections.token('ada') })
  const running = await ask(own, 'ada', peer.id)
  await own.connections.app.close()
  t.equal(running.signal.aborted, false)
  running.answer()
  t.equal(await running.status, 200)
})
