import { setImmediate as turn } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { defineRoom } from '../lib/index.js'
import { assertLedger, chat, connect, declareChat, eventually, inbox, poll, start, statsOf, TRANSPORTS, type ConnectOptions, type Frame, type NetPeer, type Running, type StartOptions, type TransportName } from './helpers/net.js'

const stream = defineRoom('stream/:id', { events: { e: Type.Object({ i: Type.Integer() }) } })
const declare = (history: object | false): ((app: Running['app']) => void) => (app) => { app.room(stream, { history }) }
const ROOM = 'stream/1'

interface Place { position?: { epoch: string, offset: number }, cursor: string, id: string }

/** Where a client stands: what it was told at the join, moved by what it got. */
class Client {
  readonly got: number[] = []
  place: Place | undefined
  peer: NetPeer | undefined
  readonly #server: Running
  readonly #user: string
  resumed: boolean | undefined

  constructor (server: Running, user: string) {
    this.#server = server
    this.#user = user
  }

  async open (transport: TransportName, options: ConnectOptions = {}): Promise<void> {
    const base: ConnectOptions = { transport, rooms: [ROOM], token: this.#server.token(this.#user), ...options }
    const { place } = this
    if (place === undefined) this.peer = await connect(this.#server, base)
    else if (transport === 'websocket') {
      const { rooms: _rooms, ...rest } = base
      this.peer = await connect(this.#server, rest)
      this.peer.send({ type: 'join', room: ROOM, id: 'j', data: { since: place.position, connection: place.id } })
      this.#told(await this.peer.next('ack', ({ id }) => id === 'j'))
      return
    } else this.peer = await connect(this.#server, { ...base, query: { at: `0:${place.position!.epoch}:${place.position!.offset}`, connection: place.id, ...base.query } })
    this.#told({ type: 'ack', data: (this.peer.welcome.data as { rooms: Record<string, object> }).rooms[ROOM] })
  }

  #told ({ data }: Frame): void {
    const { epoch, offset, resumed } = data as { epoch: string, offset: number, resumed?: boolean }
    this.resumed = resumed
    this.place = { position: { epoch, offset }, cursor: '', id: this.peer!.id }
  }

  /** Reads what has come; drops what is not above its position, as the protocol says. */
  read (): void {
    const { queue } = this.peer!
    for (const frame of queue.all.splice(0)) {
      if (frame.type !== 'e' || this.place?.position === undefined) continue
      if (frame.offset! <= this.place.position.offset) continue
      this.place.position = { epoch: this.place.position.epoch, offset: frame.offset! }
      this.got.push((frame.data as { i: number }).i)
    }
  }

  cut (): void {
    this.read()
    this.peer!.cut()
  }
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1)

async function publish (server: Running, from: number, to: number): Promise<void> {
  for (let i = from; i <= to; i++) await server.app.rooms.broadcast(stream.at({ id: '1' }), 'e', { i })
}

for (const transport of TRANSPORTS) {
  const begin = async (t: Test, history: object | false = { size: 100 }, options: StartOptions = {}): Promise<Running> => await start(t, { declare: declare(history), limits: { user: { connections: 10_000, then: 'reject' } }, presence: { grace: 200 }, ...options })

  t.test(`${transport}: a position is handed out at join without any traffic, and a resume from it misses nothing`, async (t) => {
    const server = await begin(t)
    const client = new Client(server, 'ada')
    await client.open(transport)
    t.equal(client.place!.position!.offset, 0)
    client.cut()
    await publish(server, 1, 5)
    await client.open(transport)
    t.equal(client.resumed, true)
    await eventually('events', () => { client.read(); return client.got }, (got) => got.length >= 5)
    t.same(client.got, upTo(5))
    await assertLedger(t, server.app)
  })

  t.test(`${transport}: a resume after the room has emptied is a resume`, async (t) => {
    const server = await begin(t)
    const client = new Client(server, 'ada')
    await client.open(transport)
    await publish(server, 1, 1)
    await eventually('the event', () => { client.read(); return client.got.length }, (n) => n === 1)
    client.cut()
    await eventually('an empty room', async () => (await statsOf(server.app)).rooms.active, (active) => active === 0)
    await publish(server, 2, 4)
    await client.open(transport)
    t.equal(client.resumed, true)
    await eventually('events', () => { client.read(); return client.got }, (got) => got.length >= 4)
    t.same(client.got, upTo(4))
  })

  t.test(`${transport}: beyond the window it is told resumed: false and the current position, and nothing is replayed`, async (t) => {
    const server = await begin(t, { size: 5 })
    const client = new Client(server, 'ada')
    await client.open(transport)
    client.cut()
    await publish(server, 1, 20)
    await client.open(transport)
    t.equal(client.resumed, false)
    t.equal(client.place!.position!.offset, 20)
    await client.peer!.fence()
    await publish(server, 21, 21)
    await eventually('the next event', () => { client.read(); return client.got }, (got) => got.length >= 1)
    t.same(client.got, [21])
  })

  t.test(`${transport}: beyond the age it is resumed: false, too`, async (t) => {
    const server = await begin(t, { size: 100, ttl: 40 })
    const client = new Client(server, 'ada')
    await client.open(transport)
    client.cut()
    await publish(server, 1, 3)
    await eventually('age', async () => (await server.app.rooms.history(ROOM)).events.length, (length) => length === 0)
    await client.open(transport)
    t.equal(client.resumed, false)
  })

  t.test(`${transport}: an epoch of another process is resumed: false, and so is a position of the future`, async (t) => {
    const server = await begin(t)
    await publish(server, 1, 3)
    const { position } = await server.app.rooms.history(ROOM)
    for (const [where, resumed] of [[{ epoch: 'AAAAAAAA', offset: 2 }, false], [{ epoch: position.epoch, offset: 4_000 }, false], [{ epoch: position.epoch, offset: 1 }, true]] as const) {
      const client = new Client(server, 'ada')
      client.place = { position: where, cursor: '', id: 'A'.repeat(22) }
      await client.open(transport)
      t.equal(client.resumed, resumed)
      if (!resumed) t.same(client.place.position, position)
    }
  })

  t.test(`${transport}: last gives the newest n, and counts only where since is not honoured`, async (t) => {
    const server = await begin(t, { size: 10 })
    await publish(server, 1, 30)
    const ask = async (query: Record<string, string>): Promise<number[]> => {
      const peer = await connect(server, { transport, rooms: [ROOM], token: server.token('ada'), query })
      await peer.sync()
      const offsets = peer.queue.all.filter(({ type }) => type === 'e').map(({ offset }) => offset!)
      await peer.close()
      return offsets
    }
    const { epoch } = (await server.app.rooms.history(ROOM)).position
    t.same(await ask({ last: '3' }), [28, 29, 30])
    t.same(await ask({ last: '0' }), [])
    t.same(await ask({ last: '5000' }), upTo(30).slice(-10), 'no more than the history')
    t.same(await ask({ last: '3', at: `0:${epoch}:25` }), [26, 27, 28, 29, 30])
    t.same(await ask({ last: '3', at: `0:${epoch}:2` }), [28, 29, 30])
    await t.rejects(connect(server, { transport, rooms: [ROOM], token: server.token('ada'), query: { last: 'x' } }), { code: 'invalid_message' })
    await t.rejects(connect(server, { transport, rooms: [ROOM], token: server.token('ada'), query: { at: '0:x:y' } }), { code: 'invalid_message' })
  })

  t.test(`${transport}: a user who may no longer enter does not resume`, async (t) => {
    let isBlocked = false
    const server = await begin(t, {}, { declare: (app) => { app.room(stream, { authorize: () => !isBlocked }) } })
    const client = new Client(server, 'ada')
    await client.open(transport)
    client.cut()
    await publish(server, 1, 2)
    isBlocked = true
    if (transport === 'websocket') {
      const peer = await connect(server, { token: server.token('ada') })
      peer.send({ type: 'join', room: ROOM, id: 'j', data: { since: client.place!.position } })
      t.match((await peer.next('error')).data, { code: 'forbidden' })
      await peer.fence()
    } else await t.rejects(client.open(transport), { code: 'forbidden' })
  })

  t.test(`${transport}: cut at 200 random points of a run of 10 000 events, each offset comes once and in order`, { timeout: 60_000 }, async (t) => {
    const server = await begin(t, { size: 10_000, ttl: 600_000 }, { history: { bytes: 2 ** 28 } })
    const client = new Client(server, 'ada')
    await client.open(transport)
    const cuts = new Set(Array.from({ length: 200 }, () => 1 + Math.floor(Math.random() * 9_990)))
    let resumes = 0
    for (let i = 1; i <= 10_000; i++) {
      void server.app.rooms.broadcast(stream.at({ id: '1' }), 'e', { i })
      if (i % 16 === 0) await turn()
      if (!cuts.has(i)) continue
      client.cut()
      await client.open(TRANSPORTS[transport === 'websocket' ? 0 : transport === 'sse' ? 1 : 2]!)
      t.equal(client.resumed, true)
      resumes++
    }
    await eventually('all events', () => { client.read(); return client.got.length }, (length) => length >= 10_000, 20_000)
    t.same(client.got, upTo(10_000))
    t.equal(resumes, cuts.size)
    await assertLedger(t, server.app)
  })

  t.test(`${transport}: cut after every event of a run, each offset comes once and in order`, async (t) => {
    const server = await begin(t)
    const client = new Client(server, 'ada')
    await client.open(transport)
    for (let i = 1; i <= 60; i++) {
      await publish(server, i, i)
      client.cut()
      await client.open(transport)
    }
    await eventually('all events', () => { client.read(); return client.got.length }, (length) => length >= 60)
    t.same(client.got, upTo(60))
    await assertLedger(t, server.app)
  })
}

t.test('a client that changes its transport at each of 60 cuts gets each offset once and in order', async (t) => {
  const server = await start(t, { declare: declare({ size: 1_000 }), limits: { user: { connections: 1_000, then: 'reject' } } })
  const client = new Client(server, 'ada')
  await client.open('websocket')
  for (let i = 0; i < 60; i++) {
    await publish(server, i * 10 + 1, i * 10 + 10)
    client.cut()
    await client.open(TRANSPORTS[i % 3]!)
    t.equal(client.resumed, true)
  }
  await eventually('all events', () => { client.read(); return client.got.length }, (length) => length >= 600)
  t.same(client.got, upTo(600))
})

for (const transport of ['sse', 'polling'] as const) {
  t.test(`${transport}: the cursor resumes all rooms of the stream, built-in ones included`, async (t) => {
    const server = await start(t, { declare: (app) => { app.room(inbox); declareChat(app) } })
    const token = server.token('ada')
    const first = await connect(server, { transport, rooms: ['chat/1', 'chat/2'], token })
    await server.app.rooms.broadcast('chat/2', 'said', { text: 'a', by: 'x' })
    await first.next('said')
    const { cursor } = first
    first.cut()
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'b', by: 'x' })
    await server.app.rooms.sendToUser('ada', 'shipped', { order: '1' })
    const again = await connect(server, { transport, rooms: ['chat/1', 'chat/2'], token, query: { since: cursor } })
    t.match((await again.next('said')).data, { text: 'b' })
    t.match((await again.next('shipped')).data, { order: '1' })
    await again.fence()
    if (transport === 'sse') {
      const header = await connect(server, { transport, rooms: ['chat/1', 'chat/2'], token, headers: { 'last-event-id': cursor } })
      t.match((await header.next('said')).data, { text: 'b' })
    }
    for (const [what, since] of [['of another room list', cursor], ['malformed', '!!'], ['truncated', cursor.slice(0, -9)], ['made up', Buffer.from('1.x.y.z').toString('base64url')]] as const) {
      await t.rejects(connect(server, { transport, rooms: what === 'of another room list' ? ['chat/1'] : ['chat/1', 'chat/2'], token, query: { since } }), { statusCode: 400, code: 'invalid_message' }, what)
    }
  })
}

t.test('a direct message survives a reconnect: the built-in room is resumed by a join', async (t) => {
  const server = await start(t, { declare: (app) => { app.room(inbox); declareChat(app) } })
  const ada = await connect(server, { token: server.token('ada') })
  const position = (ada.welcome.data as { rooms: Record<string, object> }).rooms['@user/ada']
  ada.cut()
  await eventually('ada gone', async () => (await statsOf(server.app)).users, (users) => users === 0)
  await server.app.rooms.sendToUser('ada', 'shipped', { order: '1' })
  const again = await connect(server, { token: server.token('ada') })
  again.send({ type: 'join', room: '@user/ada', id: 'j', data: { since: position } })
  t.match(await again.next('ack'), { data: { resumed: true, offset: 0 } })
  t.match(await again.next('shipped'), { data: { order: '1' }, offset: 1 })
})

t.test('what left a connection out leaves out the one that resumes it', async (t) => {
  const server = await start(t)
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  const { id, welcome } = ada
  const position = (welcome.data as { rooms: Record<string, object> }).rooms['chat/1']
  await server.app.rooms.broadcast('chat/1', 'said', { text: 'not ada', by: 'ada' }, { except: id })
  await server.app.rooms.broadcast('chat/1', 'said', { text: 'all', by: 'x' })
  ada.cut()
  const again = await connect(server, { token: server.token('ada') })
  again.send({ type: 'join', room: 'chat/1', id: 'j', data: { since: position, connection: id } })
  await again.next('ack')
  t.match((await again.next('said')).data, { text: 'all' })
  await again.fence()
})

t.test('without history there is no position, and each resume says so', async (t) => {
  const server = await start(t, { declare: declare(false) })
  const ada = await connect(server, { rooms: [ROOM], token: server.token('ada') })
  t.same((ada.welcome.data as { rooms: object }).rooms, { [ROOM]: {} })
  t.match(await server.app.rooms.broadcast(ROOM, 'e', { i: 1 }), { recipients: 1, position: undefined })
  t.equal((await ada.next('e')).offset, undefined)
  const first = await poll(server, { rooms: [ROOM], token: server.token('bob') })
  t.match(await poll(server, { rooms: [ROOM], token: server.token('bob'), query: { since: first.cursor, wait: '1' } }), { resumed: false })
})

t.test('latest: the current value of each key at join and resume, conflated while a reader lags; volatile: dropped', async (t) => {
  const server = await start(t, { limits: { rate: { messages: 1_000, burst: 1_000 } } })
  const { rooms } = server.app
  for (const [team, points] of [['a', 1], ['b', 1], ['a', 2]] as const) await rooms.broadcast('chat/1', 'score', { team, points })
  const expected = [{ team: 'a', points: 2 }, { team: 'b', points: 1 }]
  for (const transport of TRANSPORTS) {
    const peer = await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') })
    await peer.sync()
    t.same(peer.queue.all.filter(({ type }) => type === 'score').map(({ data }) => data as { team: string }).sort((x, y) => x.team < y.team ? -1 : 1), expected, transport)
    await peer.close()
  }
  const first = await poll(server, { rooms: ['chat/1'], token: server.token('ada') })
  const idle = await poll(server, { rooms: ['chat/1'], token: server.token('ada'), query: { since: first.cursor, wait: '30' } })
  t.same(idle.frames, [], 'a next poll is not sent what it has')
  await rooms.broadcast('chat/1', 'score', { team: 'b', points: 9 })
  t.match((await poll(server, { rooms: ['chat/1'], token: server.token('ada'), query: { since: idle.cursor, wait: '30' } })).frames, [{ type: 'score', data: { team: 'b', points: 9 } }])
  await assertLedger(t, server.app)
})

t.test('a reader that stops is conflated, spared the volatile, then cut with 4410; its memory is freed, nobody waits, and it resumes', { timeout: 60_000 }, async (t) => {
  const server = await start(t, { limits: { user: { connections: 200, then: 'reject' }, outbox: 400_000 }, declare: (app) => { declareChat(app, { history: { size: 20_000, ttl: 600_000 } }) } })
  const readers = await Promise.all(Array.from({ length: 30 }, async () => await connect(server, { rooms: ['chat/1'], token: server.token('reader') })))
  const slow = await connect(server, { rooms: ['chat/1'], token: server.token('slow') })
  slow.stall()
  const text = 'x'.repeat(2_000)
  let published = 0
  const { rooms } = server.app
  // Until the kernel's buffers are full, nothing waits with us.
  do {
    for (let i = 0; i < 8; i++) await rooms.broadcast('chat/1', 'said', { text, by: String(++published) })
    await turn()
    await turn()
  } while ((await statsOf(server.app)).outbox.bytes === 0 && published < 15_000)
  for (let i = 0; i < 50; i++) await rooms.broadcast('chat/1', 'score', { team: 'a', points: i })
  for (let i = 0; i < 50; i++) await rooms.broadcast('chat/1', 'typing', { by: 'x' })
  await turn()
  const lagging = await statsOf(server.app)
  t.ok(lagging.ledger.conflated >= 40, `conflated ${lagging.ledger.conflated}`)
  t.ok(lagging.ledger.dropped >= 40, `dropped ${lagging.ledger.dropped}`)
  while ((await statsOf(server.app)).closes.slow_consumer === undefined && published < 20_000) {
    await rooms.broadcast('chat/1', 'said', { text, by: String(++published) })
    if (published % 8 === 0) await turn()
  }
  t.equal((await statsOf(server.app)).closes.slow_consumer, 1)
  await eventually('outboxes', async () => (await statsOf(server.app)).outbox.bytes, (bytes) => bytes === 0)
  await eventually('all readers', () => Math.min(...readers.map(({ queue }) => queue.all.filter(({ type }) => type === 'said').length)), (count) => count === published, 20_000)
  for (const { queue } of readers) t.same(queue.all.filter(({ type }) => type === 'said').map(({ offset }) => offset), upTo(published))
  slow.resume()
  await slow.ended
  await t.rejects(slow.next('nothing', () => false, 10), { message: /4410 slow_consumer|1006/ })
  const got = slow.queue.all.filter(({ type }) => type === 'said')
  const { epoch } = (slow.welcome.data as { rooms: Record<string, { epoch: string }> }).rooms['chat/1']!
  const again = await connect(server, { token: server.token('slow') })
  again.send({ type: 'join', room: 'chat/1', id: 'j', data: { since: { epoch, offset: got.at(-1)?.offset ?? 0 } } })
  t.match(await again.next('ack'), { data: { resumed: true } })
  await eventually('the rest', () => again.queue.all.filter(({ type }) => type === 'said').length, (count) => count === published - got.length, 20_000)
  t.same([...got, ...again.queue.all.filter(({ type }) => type === 'said')].map(({ offset }) => offset), upTo(published))
  await assertLedger(t, server.app)
})

t.test('a stream trimmed under a reader that follows it is a gap, never silence', async (t) => {
  const server = await start(t, { declare: (app) => { declareChat(app, { history: { size: 600 } }) }, limits: { outbox: 300_000 } })
  const { rooms } = server.app
  const text = 'x'.repeat(20_000)
  for (let i = 0; i < 600; i++) await rooms.broadcast('chat/1', 'said', { text, by: String(i) })
  const { epoch } = (await rooms.history('chat/1', { limit: 1 })).position
  const peer = await connect(server, { token: server.token('ada') })
  peer.stall()
  peer.send({ type: 'join', room: 'chat/1', id: 'j', data: { since: { epoch, offset: 0 } } })
  await eventually('a follower that lags', async () => (await statsOf(server.app)).ledger.meant, (meant) => meant > 10)
  for (let i = 0; i < 700; i++) await rooms.broadcast('chat/1', 'said', { text: 'new', by: String(i) })
  peer.resume()
  const gap = await peer.next('gap', undefined, 10_000)
  const { from, to } = gap.data as { from: number, to: number }
  t.equal(to, 700)
  await eventually('the end', () => peer.queue.all.at(-1)?.offset, (offset) => offset === 1_300)
  const offsets = peer.queue.all.filter(({ type }) => type === 'said').map(({ offset }) => offset!)
  t.same(offsets, [...upTo(from), ...upTo(1_300).slice(700)])
})

t.test('an acknowledged broadcast says who answered, who left, who is missing, and leaves nothing behind', async (t) => {
  const server = await start(t)
  const peers = await Promise.all(['ada', 'bob', 'cyd', 'dan'].map(async (user) => await connect(server, { rooms: ['chat/1'], token: server.token(user) })))
  const [ada, bob, cyd] = peers as [NetPeer, NetPeer, NetPeer, NetPeer]
  const asked = server.app.rooms.broadcastWithAck('chat/1', 'said', { text: 'here?', by: 'x' }, { timeout: 400 })
  const event = await ada.next('said')
  const ack = (event as unknown as { ack: string }).ack
  t.equal(event.offset, undefined)
  ada.send({ type: 'ack', id: ack })
  ada.send({ type: 'ack', id: ack })
  await bob.next('said')
  await fetch(`${server.url}/ws`, { method: 'POST', headers: { authorization: `Bearer ${server.token('bob')}`, 'content-type': 'application/json', 'x-connection-id': bob.id }, body: JSON.stringify({ type: 'ack', id: ack }) })
  await fetch(`${server.url}/ws`, { method: 'POST', headers: { authorization: `Bearer ${server.token('eve')}`, 'content-type': 'application/json', 'x-connection-id': peers[3]!.id }, body: JSON.stringify({ type: 'ack', id: ack }) })
  cyd.cut()
  const result = await asked
  t.same({ acked: result.acked.sort(), missing: result.missing, left: result.left, unknown: result.unknown }, { acked: ['ada', 'bob'], missing: ['dan'], left: ['cyd'], unknown: 0 })
  for (let i = 0; i < 50; i++) ada.send({ type: 'ack', id: `made-up-${i}` })
  await ada.fence()
  const alone = await server.app.rooms.broadcastWithAck('chat/nobody', 'said', { text: 'x', by: 'x' })
  t.same(alone, { acked: [], missing: [], left: [], unknown: 0 })
})

t.test('a second poll of a connection ends the first, whose events go to the second', async (t) => {
  const server = await start(t)
  const options = { rooms: ['chat/1'], token: server.token('ada') }
  const first = await poll(server, options)
  const open = poll(server, { ...options, query: { since: first.cursor, wait: '5000' } })
  await eventually('an open poll', async () => (await server.app.rooms.broadcast('chat/2', 'said', { text: 'x', by: 'x' })).recipients, () => true)
  await new Promise((resolve) => { setTimeout(resolve, 30) })
  const second = poll(server, { ...options, query: { since: first.cursor, wait: '5000' } })
  t.match(await open, { cursor: first.cursor, frames: [] })
  await server.app.rooms.broadcast('chat/1', 'said', { text: 'hi', by: 'x' })
  t.match(await second, { resumed: true, frames: [{ type: 'said', offset: 1 }] })
  t.equal((await statsOf(server.app)).connections.total, 1)
  await assertLedger(t, server.app)
})

t.test('a connection that polls keeps its slot between polls and gives it back after the grace', async (t) => {
  const server = await start(t, { capacity: 1, presence: { grace: 150 } })
  await poll(server, { rooms: ['chat/1'], token: server.token('ada') })
  await t.rejects(poll(server, { rooms: ['chat/1'], token: server.token('bob') }), { code: 'server_full' })
  await eventually('the slot', async () => await poll(server, { rooms: ['chat/1'], token: server.token('bob') }).then(() => 'in', ({ code }: { code: string }) => code), (state) => state === 'in')
  t.same(chat.name, 'chat/:id')
})
