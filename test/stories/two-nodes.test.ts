import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createPublisher, memory } from '../../lib/index.js'
import { Keys } from '../../lib/adapters/redis/keys.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { matchList } from '../helpers/match-list.js'
import {
  chat, connect, declareChat, eventually, inbox, lobby, poll, start, type NetPeer, type Running
} from '../helpers/net.js'
import { missing, startRedis } from '../helpers/servers.js'

const absent = missing('redis-server')

async function nodes (
  t: Test,
  count: number,
  options: object = {},
  extra: object = {}
): Promise<{ servers: [Running, Running, Running], broker: Awaited<ReturnType<typeof startRedis>> }> {
  const broker = await startRedis(t)
  const servers: Running[] = []
  for (let i = 0; i < count; i++) {
    servers.push(await start(t, {
      adapter: redis({ url: broker.url }),
      presence: { grace: 100 },
      ...options,
      declare: (app) => {
        app.room(inbox)
        app.room(lobby, { presence: ({ userId }) => ({ name: userId }) })
        declareChat(app, extra)
      }
    }))
  }
  return { servers: servers as [Running, Running, Running], broker }
}

const run = (title: string, body: (t: Test) => Promise<void>): void => {
  void t.test(title, { skip: absent, timeout: 60_000 }, body)
}

run('an event broadcast on one node reaches the members on all, in one order', async (t) => {
  const { servers } = await nodes(t, 3)
  const peers = await Promise.all(servers.map(async (server) => await connect(server, {
    rooms: ['chat/1'],
    token: server.token('ada')
  })))
  await Promise.all(Array.from(
    { length: 90 },
    async (_, i) => await servers[i % 3]!.app.rooms.broadcast('chat/1', 'said', { text: String(i), by: 'x' })
  ))
  const texts = await Promise.all(peers.map(async (peer) => await eventually(
    'events',
    () =>
      peer.queue.all.filter(({ type }) => type === 'said').map(
        ({ offset, data }) => `${offset} ${(data as { text: string }).text}`
      ),
    (list) => list.length === 90
  )))
  t.same(texts[1], texts[0])
  t.same(texts[2], texts[0])
  t.same(texts[0]!.map((text) => Number(text.split(' ')[0])), Array.from({ length: 90 }, (_, i) => i + 1))
})

run('a stateless resume by poll, stream or join lands on another node and misses nothing', async (t) => {
  const { servers: [a, b] } = await nodes(t, 2)
  const first = await poll(a, { rooms: ['chat/1'], token: a.token('ada') })
  await a.app.rooms.broadcast('chat/1', 'said', { text: '1', by: 'x' })
  const second = await poll(b, {
    rooms: ['chat/1'],
    token: b.token('ada'),
    query: { since: first.cursor, wait: '2000' }
  })
  matchList(
    t,
    second,
    { connectionId: first.connectionId, resumed: true, frames: [{ type: 'said', data: { text: '1' } }] }
  )
  await b.app.rooms.broadcast('chat/1', 'said', { text: '2', by: 'x' })
  const sse = await connect(a, {
    transport: 'sse',
    rooms: ['chat/1'],
    token: a.token('ada'),
    query: { since: second.cursor }
  })
  t.match((await sse.next('said')).data, { text: '2' })
  const { epoch } = second.rooms['chat/1']!
  const ws = await connect(b, { token: b.token('ada') })
  ws.send({ type: 'join', room: 'chat/1', id: 'j', data: { since: { epoch, offset: 0 } } })
  t.match(await ws.next('ack'), { data: { resumed: true } })
  for (const text of ['1', '2']) t.match((await ws.next('said')).data, { text })
})

run('a ticket of one node opens exactly one connection on any', async (t) => {
  const { servers: [a, b] } = await nodes(t, 2)
  const { ticket } = await (await fetch(`${a.url}/ws/ticket`, {
    method: 'POST',
    headers: { authorization: `Bearer ${a.token('ada')}` }
  })).json() as { ticket: string }
  const tries = await Promise.all(Array.from(
    { length: 40 },
    async (_, i) => await connect(i % 2 === 0 ? a : b, { query: { ticket } }).then(() => 'open', () => 'refused')
  ))
  t.equal(tries.filter((state) => state === 'open').length, 1)
})

run('limits per user and per room hold across nodes, and a slot is free again when its holder leaves', async (t) => {
  const { servers } = await nodes(t, 2, { limits: { user: { connections: 3, then: 'reject' } } }, { capacity: 2 })
  const [a, b] = servers
  const tries = await Promise.all(Array.from(
    { length: 20 },
    async (_, i) => await connect(servers[i % 2]!, { token: a.token('ada') }).catch(() => undefined)
  ))
  const open = tries.filter((peer): peer is NetPeer => peer !== undefined)
  t.ok(open.length >= 1 && open.length <= 3, `${open.length} of 20 were admitted`)
  for (const peer of open) await peer.close()
  await eventually(
    'slots',
    async () => await a.app.rooms.isOnline('ada') || await b.app.rooms.isOnline('ada'),
    (is) => !is
  )
  const again = await eventually(
    'three slots',
    async () => await Promise.all([a, b, b].map(async (server) =>
      await connect(server, { token: server.token('ada') }).catch(() => undefined))),
    (peers) => {
      if (peers.every((peer) => peer !== undefined)) return true
      for (const peer of peers) peer?.cut()
      return false
    }
  )
  for (const peer of again) await peer!.close()
  const inRoom = await Promise.all(Array.from(
    { length: 10 },
    async (_, i) => await connect(servers[i % 2]!, {
      rooms: ['chat/1'],
      token: a.token(`u${i}`)
    }).catch((error: { code: string }) => error.code)
  ))
  t.ok(inRoom.filter((result) => typeof result !== 'string').length <= 2)
  t.same([...new Set(inRoom.filter((result) => typeof result === 'string'))], ['room_full'])
})

run('presence is one across nodes: members, joins and leaves', async (t) => {
  const { servers: [a, b] } = await nodes(t, 2)
  const ada = await connect(a, { rooms: ['crowd/1'], token: a.token('ada') })
  const bob = await connect(b, { rooms: ['crowd/1'], token: b.token('bob') })
  matchList(t, (await ada.next('presence')).data, { joined: [{ userId: 'bob', data: { name: 'bob' } }] })
  t.match(bob.welcome.data, { rooms: { 'crowd/1': { members: { total: 2 } } } })
  t.equal(await a.app.rooms.count('crowd/1'), 2)
  bob.cut()
  matchList(t, (await ada.next('presence', undefined, 10_000)).data, { left: [{ userId: 'bob' }] })
})

run(
  'revoke, server-side join, direct messages and acknowledged broadcasts reach connections of other nodes',
  async (t) => {
    const { servers: [a, b] } = await nodes(t, 2)
    const [ada, bob] = [await connect(a, { token: a.token('ada') }), await connect(b, { token: b.token('bob') })]
    await a.app.rooms.join({ user: 'bob' }, 'chat/1')
    await bob.next('joined')
    await a.app.rooms.join({ user: 'ada' }, 'chat/1')
    await ada.next('joined')
    await a.app.rooms.sendToUser('bob', 'shipped', { order: '1' })
    await bob.next('shipped')
    t.equal(await a.app.rooms.isOnline('bob'), true)
    const asked = a.app.rooms.broadcastWithAck('chat/1', 'said', { text: 'here?', by: 'x' }, { timeout: 5_000 })
    for (const peer of [ada, bob]) {
      const { ack } = await peer.next('said') as unknown as { ack: string }
      peer.send({ type: 'ack', id: ack })
    }
    const result = await asked
    t.same({ ...result, acked: result.acked.sort() }, { acked: ['ada', 'bob'], missing: [], left: [], unknown: 0 })
    await a.app.rooms.revoke({ user: 'bob' })
    await bob.ended
    await eventually(
      'the denial',
      async () => await connect(b, { token: b.token('bob') }).then(() => 'in', ({ code }: { code: string }) => code),
      (code) => code === 'revoked'
    )
  }
)

run(
  'an acknowledged broadcast waits for the members of every node, and counts a node that does not say who they are',
  async (t) => {
    const { servers: [a, b], broker } = await nodes(t, 2)
    const peers = [
      await connect(a, { rooms: ['chat/1'], token: a.token('ada') }),
      await connect(b, { rooms: ['chat/1'], token: b.token('bob') })
    ]
    const ask = async (node: Running, timeout: number): Promise<object> => {
      const asked = node.app.rooms.broadcastWithAck('chat/1', 'said', { text: 'here?', by: 'x' }, { timeout })
      for (const peer of peers) {
        const { ack } = await peer.next('said') as unknown as { ack: string }
        peer.send({ type: 'ack', id: ack })
      }
      const result = await asked
      return { ...result, acked: result.acked.sort() }
    }
    for (let i = 0; i < 50; i++) {
      t.same(await ask(i % 2 === 0 ? a : b, 5_000), { acked: ['ada', 'bob'], missing: [], left: [], unknown: 0 })
    }
    const mute = new Redis(broker.url)
    t.teardown(() => { mute.disconnect() })
    await mute.ssubscribe(new Keys('realtime:').events('chat/1'))
    t.same(await ask(a, 500), { acked: ['ada', 'bob'], missing: [], left: [], unknown: 1 })
  }
)

run('a token that another node has a connection of is kept out up to its end, unless another time is asked for', async (t) => {
  const { servers: [a, b], broker } = await nodes(t, 2)
  const store = new Redis(broker.url)
  t.teardown(() => { store.disconnect() })
  const keptFor = async (): Promise<number> => {
    const [key = ''] = await store.keys('*denial*')
    return Math.round(await store.pttl(key) / 60_000)
  }
  for (const [jti, asked, minutes] of [['t-1', undefined, 480], ['t-2', Date.now() + 120_000, 2]] as const) {
    await store.del(...await store.keys('*denial*'), 'none')
    const bob = await connect(b, { token: b.token('bob', { jti }, '8h') })
    await a.app.rooms.revoke({ tokenId: jti }, asked === undefined ? {} : { until: asked })
    await bob.ended
    t.equal(await eventually('it is kept out', keptFor, (found) => found >= minutes), minutes)
  }
})

run('acknowledged broadcasts that are made at the same time each have the answers of members on every node', async (t) => {
  const { servers: [a, b] } = await nodes(t, 2)
  const peers = [
    await connect(a, { rooms: ['chat/1'], token: a.token('ada') }),
    await connect(b, { rooms: ['chat/1'], token: b.token('bob') })
  ]
  const count = 20
  const asked = Promise.all(Array.from({ length: count }, async (_, n) =>
    await a.app.rooms.broadcastWithAck('chat/1', 'said', { text: `${n}`, by: 'x' }, { timeout: 5_000 })))
  for (const peer of peers) {
    for (let n = 0; n < count; n++) {
      const { ack } = await peer.next('said') as unknown as { ack: string }
      peer.send({ type: 'ack', id: ack })
    }
  }
  for (const { acked, ...rest } of await asked) {
    t.same({ ...rest, acked: acked.sort() }, { acked: ['ada', 'bob'], missing: [], left: [], unknown: 0 })
  }
})

run('a message sent again to another node takes effect once', async (t) => {
  const { servers: [a, b] } = await nodes(t, 2)
  const frame = { type: 'say', room: 'chat/1', id: 'c-1', data: { text: 'once' } }
  const [first, second] = [
    await connect(a, { rooms: ['chat/1'], token: a.token('ada') }),
    await connect(b, { rooms: ['chat/1'], token: b.token('ada') })
  ]
  first.send(frame)
  const ack = await first.next('ack')
  second.send(frame)
  t.same(await second.next('ack'), ack)
  t.equal((await a.app.rooms.history('chat/1')).events.length, 1)
})

run('a process that serves no connections broadcasts into rooms', async (t) => {
  const { servers: [a], broker } = await nodes(t, 1)
  const publisher = await createPublisher({ adapter: redis({ url: broker.url }), rooms: [chat, inbox] })
  t.teardown(async () => { await publisher.close() })
  const ada = await connect(a, { rooms: ['chat/1'], token: a.token('ada') })
  await publisher.broadcast(chat.at({ id: '1' }), 'said', { text: 'from a job', by: 'cron' })
  t.match((await ada.next('said')).data, { text: 'from a job' })
  await publisher.sendToUser('ada', 'shipped', { order: '7' })
  t.match((await ada.next('shipped')).data, { order: '7' })
})

run('what a publisher sends leaves a room as much history as the nodes have said that it keeps', async (t) => {
  const broker = await startRedis(t)
  const declare = (app: FastifyInstance): void => {
    declareChat(app, { history: { size: 300, ttl: 60_000 } })
  }
  const server = await start(t, { adapter: redis({ url: broker.url }), declare })
  for (let n = 0; n < 250; n++) await server.app.rooms.broadcast('chat/1', 'said', { text: `${n}`, by: 'x' })
  const early = await createPublisher({ adapter: redis({ url: broker.url }), rooms: [chat] })
  t.teardown(async () => { await early.close() })
  await early.broadcast(chat.at({ id: '1' }), 'said', { text: 'from a job', by: 'cron' })
  const { events } = await server.app.rooms.history('chat/1', { limit: 300 })
  t.equal(events.length, 251, 'the defaults of a plugin would have left 100 of them')
  await server.app.close()
  await early.broadcast(chat.at({ id: '1' }), 'said', { text: 'while no node is there', by: 'cron' })
  const next = await start(t, { adapter: redis({ url: broker.url }), declare })
  t.equal((await next.app.rooms.history('chat/1', { limit: 300 })).events.length, 252)
})

run('a publisher of which no node has said anything keeps what its own option says', async (t) => {
  const broker = await startRedis(t)
  const history = { size: 300, ttl: 60_000 }
  const publisher = await createPublisher({ adapter: redis({ url: broker.url }), rooms: [chat], history })
  t.teardown(async () => { await publisher.close() })
  for (let n = 0; n < 150; n++) await publisher.broadcast('chat/1', 'said', { text: `${n}`, by: 'x' })
  const server = await start(t, {
    adapter: redis({ url: broker.url }), declare: (app) => { declareChat(app, { history }) }
  })
  t.equal((await server.app.rooms.history('chat/1', { limit: 300 })).events.length, 150)
  await t.rejects(createPublisher({ adapter: memory(), rooms: [chat], history: { size: 0 } }), { code: 'REALTIME_ERR_OPTIONS' })
})

run(
  'while the broker is away what needs it is refused with unavailable, and on its return members go on',
  async (t) => {
    const { servers: [a], broker } = await nodes(t, 1)
    const ada = await connect(a, { rooms: ['chat/1'], token: a.token('ada') })
    t.same(a.loud, [], 'a start without trouble warns of nothing')
    await broker.stop()
    await t.rejects(a.app.rooms.broadcast('chat/1', 'said', { text: 'lost?', by: 'x' }), { code: 'unavailable' })
    ada.send({ type: 'say', room: 'chat/1', id: 'm', data: { text: 'x' } })
    t.match((await ada.next('error', undefined, 10_000)).data, { code: 'unavailable', retry: 'backoff' })
    await broker.start()
    await eventually(
      'the broker',
      async () => await a.app.rooms.broadcast('chat/1', 'said', { text: 'back', by: 'x' }).then(
        () => 'up',
        ({ code }: { code: string }) => code
      ),
      (state) => state === 'up',
      20_000
    )
    const gap = await ada.next('gap', ({ type, room }) => type === 'gap' && room === 'chat/1', 10_000)
    t.same(Object.keys(gap.data as object), ['epoch', 'to'], 'a broker that lost its data is a gap of unknown size')
    await a.app.rooms.broadcast('chat/1', 'said', { text: 'on', by: 'x' })
    await ada.next('said', ({ type, data }) => type === 'said' && (data as { text: string }).text === 'on')
    const notes = (): string[] => a.loud.map((line) => (line as { msg: string }).msg)
      .filter((text) => text.startsWith('the adapter is'))
    t.same(
      await eventually('the note of its return', notes, ({ length }) => length === 2),
      ['the adapter is disconnected', 'the adapter is connected']
    )
  }
)

run('3 nodes, 60 clients on 20 rooms, publishers on every node, one node dies: its clients go on elsewhere, nothing lost, doubled or out of order', async (t) => {
  const { servers } = await nodes(t, 3, { limits: { user: { connections: 500, then: 'reject' } } }, {
    history: { size: 5_000, ttl: 600_000 }
  })
  interface Client {
    room: string
    peer: NetPeer
    position: { epoch: string, offset: number }
    got: number[]
    node: number
  }
  const clients: Client[] = []
  for (let i = 0; i < 60; i++) {
    const room = `chat/${i % 20}`
    const node = i % 3
    const peer = await connect(servers[node]!, { rooms: [room], token: servers[node]!.token(`u${i}`) })
    clients.push({
      room,
      peer,
      node,
      got: [],
      position: (peer.welcome.data as { rooms: Record<string, { epoch: string, offset: number }> }).rooms[room]!
    })
  }
  const take = (client: Client): void => {
    for (const { type, room, offset } of client.peer.queue.all.splice(0)) {
      if (type !== 'said' || room !== client.room || offset! <= client.position.offset) continue
      client.position = { ...client.position, offset: offset! }
      client.got.push(offset!)
    }
  }
  const published = new Map<string, number>()
  const publish = async (node: number, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const room = `chat/${(i * 7 + node) % 20}`
      await servers[node]!.app.rooms.broadcast(room, 'said', { text: 'x', by: String(node) })
      published.set(room, (published.get(room) ?? 0) + 1)
    }
  }
  await Promise.all([publish(0, 200), publish(1, 200), publish(2, 200)])
  // Its connections are cut without a word, and it is not asked again.
  const running = Promise.all([publish(0, 300), publish(1, 300)])
  for (const client of clients.filter(({ node }) => node === 2)) {
    take(client)
    client.peer.cut()
    client.node = Math.random() < 0.5 ? 0 : 1
    const server = servers[client.node]!
    client.peer = await connect(server, { token: server.token('again') })
    client.peer.send({ type: 'join', room: client.room, id: 'j', data: { since: client.position } })
    t.match(await client.peer.next('ack', ({ id }) => id === 'j'), { data: { resumed: true } })
  }
  await running
  for (const client of clients) {
    const expected = published.get(client.room)!
    await eventually(
      `events of ${client.room}`,
      () => { take(client); return client.got.length },
      (length) => length >= expected,
      15_000
    )
    t.same(client.got, Array.from({ length: expected }, (_, i) => i + 1))
  }
})
