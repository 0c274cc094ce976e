import http2 from 'node:http2'
import { connect as dial } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as dialTls } from 'node:tls'
import { generate } from 'selfsigned'
import t, { type Test } from 'tap'
import { ai } from '../helpers/growing-room.js'
import { matchList } from '../helpers/match-list.js'
import { narrowWay } from '../helpers/narrow-way.js'
import {
  assertLedger, connect, declareChat, eventually, start, statsOf, TRANSPORTS,
  type Running, type StartOptions, type TransportName
} from '../helpers/net.js'
import { connections, handshake, plain } from '../helpers/raw.js'

interface Line { readonly level: number, readonly msg: string, readonly [field: string]: unknown }

/** Bytes of an event that the kernel does not take at once. */
const LARGE = 16_000_000

/** Starts a server with one reader that reads nothing, though less waits for it than its outbox may hold. */
async function stalled (t: Test, transport: TransportName, options: StartOptions): Promise<Running> {
  const server = await start(t, {
    limits: { outbox: 40_000_000, event: LARGE + 1_000 },
    ...options,
    timeouts: { close: 200, ...options.timeouts }
  })
  const reader = await connect(server, { transport, token: server.token('ada'), rooms: ['chat/1'] })
  reader.stall()
  // The kernel takes some megabytes, over some hundred milliseconds.
  await server.app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(LARGE), by: 'bob' })
  await eventually('what waits', async () => {
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(800_000), by: 'bob' })
    // A short time may have ended it before anybody looked.
    return server.lines.some((line) => line.includes('"connection closed"')) || (await statsOf(server.app)).outbox.bytes
  }, (waits) => waits === true || waits > 0)
  return server
}

/** The lines of a connection's end, and of what it was that ended it. */
async function toldOf ({ lines }: Running): Promise<{ readonly end: Line, readonly limits: Line[] }> {
  const logged = (): Line[] => lines.map((line) => JSON.parse(line) as Line)
  const [end] = await eventually(
    'the end', () => logged().filter(({ msg }) => msg === 'connection closed'), (ends) => ends.length > 0)
  const limits = logged().filter(({ level, msg }) => level >= 40 && msg.startsWith('all of '))
  return { end: end!, limits }
}

/** Options under which a stalled reader is cut by each of the times, and what is said of it. */
const TIMES: Record<string, { readonly options: StartOptions, readonly value: number }> = {
  'timeouts.write': { options: { timeouts: { write: 300 } }, value: 300 },
  heartbeat: { options: { heartbeat: 200 }, value: 200 }
}

for (const transport of ['websocket', 'sse'] as const) {
  for (const [limit, { options, value }] of Object.entries(TIMES)) {
    t.test(`over ${transport} the end of a reader that takes nothing for too long names ${limit} and no other limit`, async (t) => {
      const { end, limits } = await toldOf(await stalled(t, transport, options))
      t.match(end, { reason: 'slow_consumer', limit, value, lag: Number })
      matchList(
        t,
        limits,
        [{ limit, value, userId: 'ada', lag: Number, msg: new RegExp(`^all of ${limit} is used: .+`) }]
      )
      t.equal(limits.length, 1, 'its outbox was not full')
    })
  }

  t.test(`over ${transport} the end of a reader that takes nothing until a drain is over names drain.timeout`, async (t) => {
    const server = await stalled(t, transport, { drain: { timeout: 300 } })
    await server.app.close()
    const { end, limits } = await toldOf(server)
    t.match(end, { reason: 'slow_consumer', limit: 'drain.timeout', value: 300 })
    t.same(limits.map(({ limit }) => limit), ['drain.timeout'])
  })
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} the end of a reader for whom too much waits names limits.outbox`, async (t) => {
    // Each poll takes one of two events, unless both come while it waits: it may take some of them until then.
    const rate = { messages: 10_000, burst: 10_000 }
    const waits = async (): Promise<void> => {
      await reader.sync().catch(() => undefined)
      await delay(30)
    }
    const server = await start(t, { limits: { outbox: 100_000, event: 90_000, rate }, timeouts: { close: 200 } })
    const reader = await connect(server, { transport, token: server.token('ada'), rooms: ['chat/1'] })
    if (transport !== 'polling') reader.stall()
    await eventually('the cut', async () => {
      if (transport === 'polling') await waits()
      const said = { text: 'x'.repeat(80_000), by: 'bob' }
      void server.app.rooms.broadcast('chat/1', 'said', said)
      await server.app.rooms.broadcast('chat/1', 'said', said)
      return (await statsOf(server.app)).closes
    }, (closes) => closes.slow_consumer === 1)
    const { end, limits } = await toldOf(server)
    t.match(end, { reason: 'slow_consumer', limit: 'limits.outbox', value: 100_000 })
    t.match(limits.at(-1), { limit: 'limits.outbox', value: 100_000, userId: 'ada', lag: Number })
    t.same(new Set(limits.map(({ limit }) => limit)), new Set(['limits.outbox']))
  })
}

/** A peer that reads 64 KiB each ten milliseconds, up to so many bytes. */
async function steady (
  t: Test,
  server: Running,
  transport: TransportName,
  { most, isTls }: { readonly most: number, readonly isTls: boolean }
): Promise<{ read: number, isOver: boolean }> {
  const { port } = server
  const host = '127.0.0.1'
  const socket = isTls ? dialTls({ port, host, rejectUnauthorized: false }) : dial({ port, host })
  t.teardown(() => { socket.destroy() })
  const state = { read: 0, isOver: false }
  let rested = 0
  socket.on('error', () => undefined).on('close', () => { state.isOver = true }).on('data', ({ length }) => {
    state.read += length
    // One read of TLS has a record of 16 KiB at most.
    if (state.read - rested < 65_536) return
    rested = state.read
    socket.pause()
    if (state.read < most) setTimeout(() => { socket.resume() }, 10)
  })
  const headers = { Host: 'localhost', Authorization: `Bearer ${server.token('ada')}` }
  if (transport === 'websocket') {
    socket.write(handshake('/ws/chat/1', { headers: { ...headers, 'Sec-WebSocket-Protocol': 'realtime.v1' } }))
  } else if (transport === 'sse') {
    socket.write(plain('/ws/chat/1', { headers: { ...headers, Accept: 'text/event-stream' } }))
  } else {
    const { cursor } = (await server.app.inject({ url: '/ws/chat/1', headers })).json<{ cursor: string }>()
    socket.write(plain(`/ws/chat/1?since=${cursor}`, { headers }))
  }
  await eventually('a member', async () => await server.app.rooms.count('chat/1'), (count) => count === 1)
  return state
}

const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 })

for (const [transport, isTls] of TRANSPORTS.flatMap((each) => [[each, false], [each, true]] as const)) {
  const over = `over ${transport}${isTls ? ' and TLS' : ''}`
  const options: StartOptions = {
    ...isTls && { fastify: { https: { key, cert } } as NonNullable<StartOptions['fastify']> },
    limits: { outbox: 40_000_000, event: LARGE + 1_000 },
    timeouts: { write: 1_500, close: 100 },
    declare: (app) => { declareChat(app, { presence: true }) }
  }
  const text = 'x'.repeat(LARGE)

  t.test(`${over} an event that takes longer than timeouts.write is read to its end by who reads all the time`, async (t) => {
    const server = await start(t, options)
    const peer = await steady(t, server, transport, { most: Infinity, isTls })
    await server.app.rooms.broadcast('chat/1', 'said', { text, by: 'bob' })
    await eventually('all of it', () => peer, ({ read, isOver }) => read > LARGE || isOver, 30_000)
    t.ok(peer.read > LARGE, `${peer.read} bytes`)
  })

  t.test(`${over} who reads no further than the middle of an event is cut after timeouts.write`, async (t) => {
    const server = await start(t, options)
    const peer = await steady(t, server, transport, { most: 6_000_000, isTls })
    await server.app.rooms.broadcast('chat/1', 'said', { text, by: 'bob' })
    await eventually('the middle', () => peer.read, (read) => read >= 6_000_000, 30_000)
    const begun = performance.now()
    await eventually('the end', async () => await connections(server.app.server), (count) => count === 0, 10_000)
    t.ok(performance.now() - begun > 700)
    if (transport !== 'polling') t.match((await toldOf(server)).end, { limit: 'timeouts.write' })
  })
}

/** The same over HTTP/2, beside a stream of the same session that reads all the time. */
async function steadyStream (
  t: Test,
  server: Running,
  transport: TransportName,
  most: number
): Promise<{ read: number, isOver: boolean, isRead: boolean }> {
  const session = http2.connect(server.url)
  session.on('error', () => undefined)
  t.teardown(() => { session.destroy() })
  const authorization = `Bearer ${server.token('ada')}`
  const state = { read: 0, isOver: false, isRead: false }
  const since = transport === 'polling'
    ? (await server.app.inject({ url: '/ws/chat/1', headers: { authorization } })).json<{ cursor: string }>().cursor
    : undefined
  server.app.server.once('stream', (stream: http2.Http2Stream) => {
    // The client tells of the end of its stream only once it has read what has come.
    stream.once('close', () => { state.isOver = true })
  })
  const stream = session.request({
    ':path': since === undefined ? '/ws/chat/1' : `/ws/chat/1?since=${since}`,
    accept: since === undefined ? 'text/event-stream' : 'application/json',
    authorization
  })
  let rested = 0
  stream.on('error', () => undefined).on('close', () => { state.isRead = true }).on('data', ({ length }) => {
    state.read += length
    if (state.read - rested < 65_536) return
    rested = state.read
    stream.pause()
    // Long enough for two sweeps of the heartbeat.
    if (state.read < most) setTimeout(() => { stream.resume() }, 15)
  })
  await eventually('a member', async () => await server.app.rooms.count('chat/1'), (count) => count === 1)
  const load = (): void => {
    if (session.destroyed) return
    session.request({ ':path': '/ws/client.js' }).on('error', () => undefined).resume().on('end', load)
  }
  load()
  return state
}

for (const transport of ['sse', 'polling'] as const) {
  const options: StartOptions = {
    fastify: { http2: true } as NonNullable<StartOptions['fastify']>,
    limits: { outbox: 40_000_000, event: LARGE + 1_000 },
    timeouts: { write: 1_500, close: 100 },
    declare: (app) => { declareChat(app, { presence: true }) }
  }
  const said = { text: 'x'.repeat(LARGE), by: 'bob' }

  t.test(`over ${transport} and HTTP/2 an event that takes longer than timeouts.write is read to its end by who reads all the time`, async (t) => {
    const server = await start(t, options)
    const peer = await steadyStream(t, server, transport, Infinity)
    const begun = performance.now()
    await server.app.rooms.broadcast('chat/1', 'said', said)
    await eventually('all of it', () => peer, ({ read, isRead }) => read > LARGE || isRead, 30_000)
    t.ok(peer.read > LARGE, `${peer.read} bytes`)
    t.ok(performance.now() - begun > 1_500)
    t.same(server.loud, [])
  })

  t.test(`over ${transport} and HTTP/2 who reads no further than the middle of an event is cut after timeouts.write`, async (t) => {
    const server = await start(t, options)
    const peer = await steadyStream(t, server, transport, 6_000_000)
    await server.app.rooms.broadcast('chat/1', 'said', said)
    await eventually('the middle', () => peer.read, (read) => read >= 6_000_000, 30_000)
    const begun = performance.now()
    await eventually('the end', () => peer.isOver, (isOver) => isOver, 10_000)
    t.ok(performance.now() - begun > 700)
    if (transport === 'sse') t.match((await toldOf(server)).end, { limit: 'timeouts.write' })
  })
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} who joins five rooms that each have a long text that grows is brought them all`, {
    timeout: 60_000
  }, async (t) => {
    const server = await start(t, {
      declare: (app) => { app.room(ai) },
      limits: { rate: { messages: 10_000, burst: 10_000 } }
    })
    const names = Array.from({ length: 5 }, (_, n) => `ai/${n}`)
    for (const name of names) {
      const writer = server.app.rooms.stream(ai.at({ id: name.slice(3) }), 'answer', { id: 'a' })
      for (let n = 0; n < 25; n++) await writer.write('x'.repeat(10_000))
    }
    const { port } = transport === 'polling' ? server : await narrowWay(t, server.port, 65_536, 1_000_000)
    const peer = await connect({ ...server, port, url: `http://127.0.0.1:${port}` }, {
      transport, token: server.token('ada'), rooms: names
    })
    let end = ''
    void peer.ended.then(() => { end = 'ended' })
    const lengths = (): number[] => names.map((name) => peer.queue.all
      .filter(({ type, room }) => type === 'answer' && room === name)
      .reduce((sum, { data }) => sum + (data as { text: string }).text.length, 0))
    await eventually('all of them', () => end || lengths(), (is) => {
      return typeof is === 'string' || is.every((length) => length >= 250_000)
    }, 20_000)
    t.same([end, lengths()], ['', names.map(() => 250_000)])
    await peer.close()
    await assertLedger(t, server.app)
    t.same(server.loud, [])
  })
}

for (const transport of ['sse', 'polling'] as const) {
  t.test(`over ${transport} who has missed an event that fills an outbox behind a small one is brought both`, {
    timeout: 60_000
  }, async (t) => {
    const server = await start(t, {
      limits: { outbox: 1_300_000, event: 1_290_000, rate: { messages: 10_000, burst: 10_000 } }
    })
    const first = await connect(server, { transport, token: server.token('ada'), rooms: ['chat/1', 'chat/2'] })
    await first.sync()
    const { cursor } = first
    first.cut()
    const say = async (room: string, size: number): Promise<void> => {
      await server.app.rooms.broadcast(room, 'said', { text: 'x'.repeat(size), by: 'bob' })
    }
    for (const room of ['chat/1', 'chat/2']) {
      await say(room, 40_000)
      await say(room, 1_280_000)
      await say(room, 40_000)
    }
    const { port } = transport === 'polling' ? server : await narrowWay(t, server.port, 65_536, 4_000_000)
    const peer = await connect({ ...server, port, url: `http://127.0.0.1:${port}` }, {
      transport,
      token: server.token('ada'),
      rooms: ['chat/1', 'chat/2'],
      query: { since: cursor }
    })
    let end = ''
    void peer.ended.then(() => { end = 'ended' })
    const heard = (): number => peer.queue.all.filter(({ type }) => type === 'said').length
    await eventually('all of them', () => end || heard(), (is) => typeof is === 'string' || is === 6, 20_000)
    t.same([end, heard()], ['', 6])
    await peer.close()
    t.same(server.loud, [])
  })
}
