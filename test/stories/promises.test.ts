/**
 * The ten promises of the design, each with its own sentence as the title and the shortest scenario that can break it;
 * the long ones are in the suites named beside.
 */
import t from 'tap'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { matchList } from '../helpers/match-list.js'
import {
  assertLedger, chat, connect, declareChat, eventually, lobby, start, statsOf, TRANSPORTS, type Frame, type NetPeer,
  type Running
} from '../helpers/net.js'
import { missing, startRedis } from '../helpers/servers.js'

const absent = missing('redis-server')
const saidBy = (peer: NetPeer): Frame[] => peer.queue.all.filter(({ type }) => type === 'said')
const positionOf = (peer: NetPeer): {
  epoch: string
  offset: number
} => (peer.welcome.data as { rooms: Record<string, { epoch: string, offset: number }> }).rooms['chat/1']!

async function say (server: Running, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await server.app.rooms.broadcast('chat/1', 'said', { text: String(i), by: 'x' })
}

// recovery.test.ts
t.test(
  'Reliable events of one room arrive at each member in the same order, without duplicate, also across resume.',
  async (t) => {
    const server = await start(t)
    const peers = await Promise.all(TRANSPORTS.map(async (transport) => await connect(server, {
      transport,
      rooms: ['chat/1'],
      token: server.token('ada')
    })))
    await say(server, 40)
    const { epoch, offset } = positionOf(peers[0]!)
    peers[0]!.cut()
    await say(server, 40)
    peers[0] = await connect(server, {
      transport: 'sse',
      rooms: ['chat/1'],
      token: server.token('ada'),
      query: { at: `0:${epoch}:${offset}` }
    })
    for (const peer of peers) {
      await eventually(peer.transport, () => saidBy(peer).length, (length) => length === 80)
      t.same(saidBy(peer).map((event) => event.offset), Array.from({ length: 80 }, (_, i) => i + 1))
    }
  }
)

t.test(
  'A member that comes back within the history window gets every reliable event that it missed and the current value of every `latest` key, or is told `resumed: false`.',
  async (t) => {
    const server = await start(t, { declare: (app) => { declareChat(app, { history: { size: 10 } }) } })
    const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    const since = positionOf(ada)
    ada.cut()
    await say(server, 10)
    await server.app.rooms.broadcast('chat/1', 'score', { team: 'a', points: 1 })
    await server.app.rooms.broadcast('chat/1', 'score', { team: 'a', points: 2 })
    const back = async (): Promise<NetPeer> => {
      const peer = await connect(server, { token: server.token('ada') })
      peer.send({ type: 'join', room: 'chat/1', id: 'j', data: { since } })
      return peer
    }
    const within = await back()
    t.match(await within.next('ack'), { data: { resumed: true } })
    await within.next('score')
    const events = within.queue.all.filter(({ type }) => type === 'said' || type === 'score')
    t.equal(events.map(({ data }) => (data as { points?: number }).points ?? 's').join(''), 'ssssssssss2')
    await say(server, 1)
    const beyond = await back()
    t.match(await beyond.next('ack'), { data: { resumed: false, offset: 11 } })
    await beyond.next('score')
    await beyond.fence()
  }
)

// input.test.ts
t.test(
  'A message sent with an `id` and sent again after a reconnect takes effect once and is acked both times.',
  async (t) => {
    const server = await start(t)
    const frame = { type: 'say', room: 'chat/1', id: 'client-1', data: { text: 'once' } }
    const first = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    first.send(frame)
    const ack = await first.next('ack')
    first.cut()
    const second = await connect(server, { rooms: ['chat/1'], token: server.token('ada'), query: { last: '10' } })
    second.send(frame)
    t.same(await second.next('ack'), ack)
    await second.next('said')
    await second.fence()
  }
)

// recovery.test.ts
t.test('A slow reader costs its own outbox and nothing else.', { timeout: 60_000 }, async (t) => {
  const server = await start(t, { limits: { outbox: 300_000 } })
  const [slow, reader] = [
    await connect(server, { rooms: ['chat/1'], token: server.token('slow') }),
    await connect(server, { rooms: ['chat/1'], token: server.token('reader') })
  ]
  slow.stall()
  let count = 0
  while ((await statsOf(server.app)).closes.slow_consumer === undefined && count < 20_000) {
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(4_000), by: String(++count) })
    // All in one process: the reader needs its turns to read at full speed.
    if (count % 32 === 0) await eventually('the reader', () => saidBy(reader).length, (length) => length === count)
  }
  await eventually('the reader', () => saidBy(reader).length, (length) => length === count)
  t.same((await statsOf(server.app)).closes, { slow_consumer: 1 })
  await reader.sync()
  await eventually('memory', async () => (await statsOf(server.app)).outbox.bytes, (bytes) => bytes === 0)
  await assertLedger(t, server.app)
})

// lifecycle.test.ts
t.test('Presence counts users, not tabs.', async (t) => {
  const server = await start(t, {
    presence: { grace: 40 },
    declare: (app) => { app.room(lobby, { presence: ({ userId }) => ({ name: userId }) }) }
  })
  const watcher = await connect(server, { rooms: ['crowd/1'], token: server.token('watcher') })
  const tabs = [
    await connect(server, { rooms: ['crowd/1'], token: server.token('ada') }),
    await connect(server, { rooms: ['crowd/1'], token: server.token('ada') })
  ]
  matchList(t, (await watcher.next('presence')).data, { joined: [{ userId: 'ada' }] })
  tabs[0]!.cut()
  await watcher.fence()
  tabs[1]!.cut()
  matchList(t, (await watcher.next('presence')).data, { left: [{ userId: 'ada' }] })
  await watcher.fence()
})

// entry.test.ts
t.test('N connections over a limit are N refusals before the upgrade; limits are never overshot.', async (t) => {
  const server = await start(t, { capacity: 7, fastify: { logger: false } })
  const tries = await Promise.all(Array.from(
    { length: 40 },
    async (_, i) => await connect(server, {
      transport: TRANSPORTS[i % 3]!,
      rooms: ['chat/1'],
      token: server.token(`u${i}`)
    }).catch(({ code }: { code: string }) => code)
  ))
  t.equal(tries.filter((result) => typeof result !== 'string').length, 7)
  t.equal(tries.filter((result) => result === 'server_full').length, 33)
})

// input.test.ts
t.test('A handler that throws, rejects or hangs harms no other connection, nor the process.', async (t) => {
  const server = await start(t, {
    timeouts: { handler: 50 },
    declare: (app) => {
      app.room(chat, {
        on: {
          say: ({ data }) => {
            if (data.text === 'throw') throw new Error('boom')
            return data.text === 'reject' ? Promise.reject(new Error('boom')) : new Promise(() => undefined)
          },
          type () {}
        }
      })
    }
  })
  const [ada, bob] = [
    await connect(server, { rooms: ['chat/1'], token: server.token('ada') }),
    await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
  ]
  for (const [text, code] of [['throw', 'internal'], ['reject', 'internal'], ['hang', 'timeout']] as const) {
    ada.send({ type: 'say', room: 'chat/1', id: text, data: { text } })
    t.match((await ada.next('error')).data, { code })
  }
  await ada.fence()
  await bob.fence()
})

// lifecycle.test.ts
t.test(
  'Shutdown: readiness goes 503, no new admission, each connection is told its own delay and served until then, links close with 1001, `app.close()` takes milliseconds with three connections.',
  async (t) => {
    const server = await start(t)
    const peers = await Promise.all(TRANSPORTS.map(async (transport) => await connect(server, {
      transport,
      rooms: ['chat/1'],
      token: server.token('ada')
    })))
    await say(server, 1)
    const before = performance.now()
    await server.app.close()
    t.ok(performance.now() - before < 1_000)
    t.equal(server.app.rooms.isAccepting(), false)
    for (const peer of peers.slice(0, 2)) t.match((await peer.next('drain')).data, { retryAfter: Number })
    await peers[0]!.ended
    await t.rejects(peers[0]!.next('nothing', () => false, 10), { message: /1001 draining/ })
    t.same(peers.slice(0, 2).map((peer) => saidBy(peer).length), [1, 1])
  }
)

// recovery.test.ts, lifecycle.test.ts
t.test(
  'Every event meant for a connection is in exactly one column of the ledger in stats: delivered, resumed, conflated, dropped, gone, queued. The columns add up.',
  async (t) => {
    const server = await start(t)
    const peers = await Promise.all(TRANSPORTS.map(async (transport) => await connect(server, {
      transport,
      rooms: ['chat/1'],
      token: server.token('ada')
    })))
    await say(server, 20)
    await server.app.rooms.broadcast('chat/1', 'typing', { by: 'x' })
    await assertLedger(t, server.app)
    for (const peer of peers) await peer.sync()
    await assertLedger(t, server.app)
    for (const peer of peers) peer.cut()
    await connect(server, { rooms: ['chat/1'], token: server.token('ada'), query: { last: '5' } })
    await eventually(
      'rest',
      async () => (await statsOf(server.app)).ledger,
      ({ queued, resumed }) => queued === 0 && resumed === 5
    )
    await assertLedger(t, server.app)
  }
)

// nodes.test.ts, adapters/
t.test(
  'When the adapter\'s server is away: what needs it is refused with `unavailable`, nothing hangs or is queued unsaid, and on its return members resume or are told.',
  {
    skip: absent,
    timeout: 60_000
  },
  async (t) => {
    const broker = await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always')
    const server = await start(t, { adapter: redis({ url: broker.url }) })
    const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    await say(server, 3)
    await broker.stop()
    await t.rejects(server.app.rooms.broadcast('chat/1', 'said', { text: 'lost', by: 'x' }), { code: 'unavailable' })
    await broker.start()
    await eventually(
      'the broker',
      async () => await server.app.rooms.broadcast('chat/1', 'said', { text: 'back', by: 'x' }).then(
        () => 'up',
        ({ code }: { code: string }) => code
      ),
      (state) => state === 'up',
      20_000
    )
    await ada.next('said', ({ type, data }) => type === 'said' && (data as { text: string }).text === 'back', 10_000)
    t.same(saidBy(ada).map(({ data }) => (data as { text: string }).text), ['0', '1', '2', 'back'])
  }
)
