import { once } from 'node:events'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { Adapter, ControlMessage } from '../../lib/adapters/adapter.js'
import { checkControl } from '../../lib/adapters/broker/decode.js'
import { decodePlace, encodePlace } from '../../lib/app/connection-cursor.js'
import { OwnConnections } from '../../lib/app/own-connections.js'
import { Refusal, type ConnectionEntry, type ConnectionPage, type ConnectionQuery } from '../../lib/index.js'
import { REDIS } from '../helpers/brokers.js'
import { connect, declareChat, eventually, inbox, start, TRANSPORTS, type NetPeer, type Running } from '../helpers/net.js'
import { PAIRS } from '../helpers/node-pairs.js'
import { missing } from '../helpers/servers.js'

const declare = (app: Running['app']): void => { app.room(inbox); declareChat(app) }

async function pages ({ app }: Running, query: ConnectionQuery): Promise<ConnectionPage[]> {
  const read: ConnectionPage[] = []
  for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
    const page = await app.rooms.connections({ ...query, cursor })
    read.push(page)
    cursor = page.cursor
  }
  return read
}

for (const { name, skip, nodes } of PAIRS) {
  t.test(`on ${name}: connections of all nodes are listed once each in pages, by user and by room`, { skip }, async (t) => {
    const [a, b] = await nodes(t, { declare, presence: { grace: 100 } })
    const peers: NetPeer[] = []
    for (const server of [a, b]) {
      for (const transport of TRANSPORTS) {
        const user = transport === 'sse' ? 'bob' : 'ada'
        peers.push(await connect(server, { transport, rooms: ['chat/1'], token: server.token(user) }))
      }
    }
    peers.push(await connect(b, { rooms: ['chat/2'], token: b.token('eve') }))
    const ids = (list: readonly NetPeer[]): string[] => list.map(({ id }) => id).sort()

    for (const limit of [1, 2, 100]) {
      const read = await pages(b, { limit })
      t.same(read.flatMap(({ connections }) => connections.map(({ id }) => id)).sort(), ids(peers), `pages of ${limit}`)
      t.equal(read.length, Math.ceil(peers.length / limit), 'pages are full')
      t.same(read.map(({ total, incomplete, missing }) => ({ total, incomplete, missing })), read.map(() => (
        { total: 7, incomplete: false, missing: [] }
      )))
    }
    const listed = async (query: ConnectionQuery): Promise<string[]> =>
      (await pages(a, query)).flatMap(({ connections }) => connections.map(({ id }) => id)).sort()
    t.same(await listed({ user: 'bob', limit: 1 }), ids([peers[1]!, peers[4]!]))
    t.same(await listed({ room: 'chat/2' }), ids([peers[6]!]))
    t.same(await listed({ room: 'chat/1', user: 'ada' }), ids([peers[0]!, peers[2]!, peers[3]!, peers[5]!]))
    t.same(await listed({ room: 'chat/1', limit: 2 }), ids(peers.slice(0, 6)))
    t.same(await listed({ room: 'chat/3' }), [])
    t.same(await listed({ user: 'nobody' }), [])

    const { connections: [eve] } = await a.app.rooms.connections({ user: 'eve' })
    const { node } = await b.app.rooms.stats()
    t.match(eve, {
      node,
      id: peers[6]!.id,
      user: 'eve',
      transport: 'websocket',
      address: '127.0.0.1',
      lag: 0,
      bytesIn: 0,
      roomCount: 2
    } satisfies Partial<Record<keyof ConnectionEntry, unknown>>)
    t.same(eve!.rooms.toSorted(), ['@user/eve', 'chat/2'])
    t.ok(eve!.since > Date.now() - 60_000 && eve!.since <= Date.now())
    t.ok(eve!.bytesOut > 0)
    await eventually('a round trip', async () => {
      await a.app.rooms.ping({ user: 'eve' })
      return (await a.app.rooms.connections({ user: 'eve' })).connections[0]
    }, (entry) => entry !== undefined)
  })
}

/** Milliseconds by which a slow peer answers later. */
const SLOW = 150

/** A WebSocket that answers pings by itself, late, and says something at once when one comes, as busy clients do. */
async function slow (t: Test, { port, token }: Running, user: string): Promise<WebSocket> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/ws/chat/1`, {
    autoPong: false,
    headers: { authorization: `Bearer ${token(user)}` }
  })
  t.teardown(() => { ws.terminate() })
  ws.on('ping', (payload: Buffer) => {
    ws.send('{"type":"ping"}')
    setTimeout(() => { if (ws.readyState === WebSocket.OPEN) ws.pong(payload) }, SLOW)
  })
  await once(ws, 'open')
  return ws
}

for (const { name, skip, nodes } of PAIRS) {
  t.test(`on ${name}: each node tells the round trip of a heartbeat's answer, and what waits for a reader`, { skip }, async (t) => {
    // Who reads nothing is not cut before it was seen, also where a broker takes seconds for the events.
    const [a, b] = await nodes(t, { declare, heartbeat: 5_000, limits: { outbox: 64 * 1_048_576 } })
    for (const server of [a, b]) await slow(t, server, 'slow')
    for (const transport of TRANSPORTS) await connect(b, { transport, token: b.token('quick') })
    const [far, full] = [await slow(t, a, 'far'), await slow(t, a, 'full')]
    const entries = async (user: string): Promise<ConnectionEntry[]> =>
      (await b.app.rooms.connections({ user })).connections
    const slowOnes = await eventually('their answers', async () => await entries('slow'), (all) =>
      all.length === 2 && all.every(({ latency }) => latency !== undefined))
    for (const { node, latency } of slowOnes) t.ok(latency! >= SLOW - 1 && latency! < 10 * SLOW, `${latency} ms on ${node}`)
    t.equal(new Set(slowOnes.map(({ node }) => node)).size, new Set([a, b]).size, 'one on each node')
    const quick = await eventually('its answer', async () => await entries('quick'), (all) =>
      all.some(({ latency = SLOW }) => latency < SLOW))
    for (const { transport, latency, lag } of quick) {
      if (transport === 'websocket') t.ok(latency! >= 0 && latency! < SLOW, `${latency} ms`)
      else t.equal(latency, undefined, `${transport} has no heartbeat that is answered`)
      t.equal(lag, 0)
    }
    far.close()
    full.pause()
    const text = 'x'.repeat(90_000)
    let count = 0
    let shown = await entries('full')
    const [{ lag } = { lag: 0 }] = await eventually('what waits', async () => {
      // A node that is busy with so many bytes may be missing on a page; more of them would keep it so.
      const more = shown.length > 0 ? 100 : 0
      count += more
      await Promise.all(Array.from({ length: more }, async () => await a.app.rooms.broadcast('chat/1', 'said', { text, by: 'app' })))
      shown = await entries('full')
      return shown
    }, ([of]) => (of?.lag ?? 0) > 0)
    t.ok(lag > text.length && lag < count * (text.length + 200), `${lag} bytes of ${count} events`)
    full.resume()
    await eventually('its end', async () => await entries('full'), ([of]) => of?.lag === 0)
  })
}

t.test('a node that answers too late is named as missing, one that has closed is not waited for', {
  skip: missing(REDIS.program)
}, async (t) => {
  const { port } = await REDIS.start(t)
  let isSilent = false
  let isAway = false
  const muted = (adapter: Adapter, drops: (message: ControlMessage) => boolean): Adapter => new Proxy(adapter, {
    get (target, property) {
      if (property === 'control') {
        return {
          send: async (message: ControlMessage) => {
            if (isAway && drops === never) throw new Refusal('unavailable')
            if (!drops(message)) await target.control!.send(message)
          }
        }
      }
      const value: unknown = Reflect.get(target, property)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
  const never = (): boolean => false
  const a = await start(t, { declare, adapter: muted(REDIS.make(port), never) })
  const b = await start(t, { declare, adapter: muted(REDIS.make(port), ({ type }) => isSilent && type === 'listed') })
  const { node } = await b.app.rooms.stats()
  const one = await connect(a, { rooms: ['chat/1'], token: a.token('ada') })
  const other = await connect(b, { rooms: ['chat/1'], token: b.token('ada') })
  const look = async (): Promise<object> => {
    const { connections, total, incomplete, missing } = await a.app.rooms.connections({ user: 'ada', timeout: 500 })
    return { ids: connections.map(({ id }) => id).sort(), total, incomplete, missing }
  }
  const whole = { ids: [one.id, other.id].sort(), total: 2, incomplete: false, missing: [] }
  const half = { ids: [one.id], total: 1, incomplete: true, missing: [node] }
  t.same(await look(), whole)
  isSilent = true
  t.same(await look(), half, 'the silent node is told')
  isSilent = false
  t.same(await look(), whole)
  isAway = true
  t.same(await look(), half, 'while the broker is away, this node tells of its own')
  isAway = false
  t.same(await look(), whole)
  other.cut()
  await b.app.close()
  await eventually('the rest', look, (seen) => JSON.stringify(seen) === JSON.stringify({ ...half, incomplete: false, missing: [] }))
})

interface Fake { readonly id: string, readonly number: number, isOpen: boolean }

function many (count: number, rooms: readonly string[] = []): { readonly all: Fake[], readonly own: OwnConnections } {
  const all = Array.from({ length: count }, (_, index) => ({
    id: `id-${index}`,
    // As in a map of shards, the order is not that of the opening.
    number: 1 + (index * 7_919) % count,
    isOpen: true,
    userId: 'ada',
    transport: 'websocket',
    address: '::1',
    openedAt: 1,
    latency: undefined,
    outbox: undefined,
    bytesIn: 0,
    bytesOut: 0,
    rooms: { size: rooms.length, all: () => rooms.map((name) => ({ name })), get: () => undefined }
  }))
  const connections = { values: () => all.values(), ofUser: () => all, get: () => undefined }
  return { all, own: new OwnConnections('n', connections as never, { get: () => undefined }) }
}

t.test('a page of 50 000 connections is made in many turns', async (t) => {
  const { own } = many(50_000)
  let turns = 0
  const count = (): void => {
    turns++
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  t.match(await own.page({ limit: 100, bytes: 262_144 }), { total: 50_000, more: true })
  clearImmediate(counting)
  t.ok(turns >= 50, `${turns} turns`)
})

t.test('connections that stay are listed once each while others come and go', async (t) => {
  const { all, own } = many(5_000)
  const seen: number[] = []
  for (let number = 0, isMore = true; isMore;) {
    const answer = await own.page({ after: { node: 'n', number }, limit: 100, bytes: 262_144 })
    seen.push(...answer!.connections.map((each) => each.number))
    number = seen.at(-1)!
    isMore = answer!.more === true
    // Those that were listed already go, and others come.
    for (const each of all.slice(0, 4_000)) if (each.number < number) each.isOpen = false
    all.push({ ...all[0]!, number: all.length + 1, isOpen: true })
  }
  t.same(seen.slice(0, 5_000), Array.from({ length: 5_000 }, (_, index) => index + 1))
  t.same(seen, [...new Set(seen)].sort((one, other) => one - other), 'in order, each once')
})

t.test('an answer ends within its bytes, and the next one begins behind it', async (t) => {
  const { own } = many(100, Array.from({ length: 200 }, (_, index) => `room/${'x'.repeat(200)}${index}`))
  const first = await own.page({ limit: 1_000, bytes: 100_000 })
  t.ok(JSON.stringify(first).length < 101_000)
  t.match(first, { total: 100, more: true })
  t.equal(first!.connections[0]!.rooms.length, 128)
  t.equal(first!.connections[0]!.roomCount, 200)
  const { number } = first!.connections.at(-1)!
  t.equal((await own.page({ after: { node: 'n', number }, limit: 1, bytes: 1 }))!.connections[0]!.number, number + 1)
  t.equal((await own.page({ after: { node: 'm', number: 99 }, limit: 1, bytes: 1 }))!.connections[0]!.number, 1)
  t.same(await own.page({ after: { node: 'o', number: 1 }, limit: 1, bytes: 1 }), { total: 100, connections: [] })
})

t.test('a question or answer of the bus that is none is left alone', async (t) => {
  const entry = {
    number: 1,
    id: 'i',
    user: 'ada',
    transport: 'sse',
    address: '::1',
    since: 5,
    lag: 0,
    bytesIn: 0,
    bytesOut: 0,
    rooms: ['a'],
    roomCount: 1
  }
  const answer = { type: 'listed', id: 'q', total: 1, connections: [entry] }
  const question = { type: 'list', id: 'q', limit: 1, bytes: 1, user: 'ada', room: 'a/b', after: { node: 'n', number: 3 } }
  for (const good of [answer, question, { type: 'node', state: 'new' }]) t.same(checkControl(good), good)
  const bad: object[] = [
    ...['id', 'total', 'connections'].map((field) => ({ ...answer, [field]: null })),
    { ...answer, connections: [entry, entry] },
    { ...answer, connections: [], more: true },
    { ...answer, connections: Array.from({ length: 1_001 }, (_, index) => ({ ...entry, number: index + 1 })) },
    ...Object.keys(entry).map((field) => ({ ...answer, connections: [{ ...entry, [field]: -1 }] })),
    { ...answer, connections: [{ ...entry, latency: 'x' }] },
    { ...answer, connections: [{ ...entry, rooms: Array.from({ length: 129 }, () => 'a') }] },
    ...['id', 'limit', 'bytes', 'user', 'room', 'after'].map((field) => ({ ...question, [field]: 0 })),
    { ...question, room: '../x' },
    { ...question, limit: 1_001 },
    { ...question, after: { node: '', number: 1 } },
    { type: 'node', state: 'gone' }
  ]
  for (const each of bad) t.equal(checkControl(each), undefined, JSON.stringify(each).slice(0, 200))
})

t.test('a cursor is read as it was written, and nothing else is one', async (t) => {
  const place = { node: 'a-_9', number: 123_456_789 }
  t.same(decodePlace(encodePlace(place)), place)
  for (const bad of ['', 'x', encodePlace({ node: 'a b', number: 1 }), `${'A'.repeat(300)}`, 5, null, encodePlace({ node: 'n', number: -1 })]) {
    t.throws(() => decodePlace(bad), { code: 'REALTIME_ERR_OPTIONS' }, String(bad))
  }
})
