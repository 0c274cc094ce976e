import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { Keys } from '../../lib/adapters/redis/keys.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import {
  connect, declareChat, eventually, start, statsOf, TRANSPORTS, type ConnectOptions, type NetPeer, type Refused,
  type Running
} from '../helpers/net.js'
import { missing, startRedis, type Server } from '../helpers/servers.js'

const absent = missing('redis-server')
const run = (title: string, body: (t: Test) => Promise<void>): void => {
  void t.test(title, { skip: absent, timeout: 60_000 }, body)
}

/** Slots of a user, and places in a room. */
const LIMIT = 3

interface Story { readonly nodes: readonly [Running, Running], readonly broker: Server }

async function two (t: Test, whenUnavailable?: 'admit' | 'refuse'): Promise<Story> {
  // With its data, so that what was left undone while it was away would show.
  const broker = await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always')
  const node = async (): Promise<Running> => await start(t, {
    adapter: redis({ url: broker.url, timeout: 500 }),
    presence: { grace: 50 },
    limits: {
      user: { connections: LIMIT, then: 'reject' },
      ...(whenUnavailable === undefined ? {} : { whenUnavailable })
    },
    declare: (app) => { declareChat(app, { capacity: LIMIT }) }
  })
  return { nodes: [await node(), await node()], broker }
}

async function isUp ({ nodes }: Story, wanted: boolean): Promise<void> {
  for (const { app } of nodes) {
    await eventually(
      'the adapter',
      async () => (await app.rooms.stats() as { adapter: { isUp: boolean } }).adapter.isUp,
      (is) => is === wanted,
      20_000
    )
  }
}

/** Slots that the broker counts. */
async function leases (t: Test, { broker }: Story, key: string): Promise<() => Promise<number>> {
  const admin = new Redis(broker.url)
  t.teardown(() => { admin.disconnect() })
  return async () => await admin.zcard(new Keys('realtime:').lease(key))
}

async function refusal (server: Running, options: ConnectOptions): Promise<Refused> {
  return await connect(server, options).then(
    (peer) => { throw new Error(`${peer.transport} was admitted`) },
    (error: Refused) => error
  )
}

async function join (peer: NetPeer, room: string): Promise<unknown> {
  peer.send({ type: 'join', room, id: `join ${room}` })
  const { type, data } = await peer.next('answer to a join', ({ id }) => id === `join ${room}`)
  return type === 'ack' ? 'joined' : (data as { code: string }).code
}

async function crowd (server: Running, count: number, options: ConnectOptions): Promise<NetPeer[]> {
  const peers: NetPeer[] = []
  for (let i = 0; i < count; i++) peers.push(await connect(server, options))
  return peers
}

async function leave ({ app }: Running, peers: readonly NetPeer[]): Promise<void> {
  const open = async (): Promise<number> => (await statsOf(app)).connections.total
  const before = await open()
  await Promise.all(peers.map(async (peer) => { await peer.close() }))
  await eventually('connections', open, (count) => count === before - peers.length)
}

const outages: ReadonlyArray<[string, (broker: Server) => Promise<void>, (broker: Server) => Promise<void>]> = [
  ['killed', async (broker) => { await broker.kill() }, async (broker) => { await broker.start() }],
  ['frozen', async (broker) => { await broker.pause() }, async (broker) => { broker.resume() }]
]

for (const [what, end, begin] of outages) {
  run(
    `while the broker is ${what} connections are let in by default, and the limits of their own node hold`,
    async (t) => {
      const story = await two(t)
      const { nodes: [a], broker } = story
      await connect(a, { rooms: ['chat/1'], token: a.token('host') })
      await end(broker)
      await isUp(story, false)
      for (const transport of TRANSPORTS) {
        const user = { transport, token: a.token(transport) }
        const peers = await crowd(a, LIMIT, user)
        t.match(await refusal(a, user), { statusCode: 429, code: 'user_limit' }, `${transport}: one more of this user`)
        await leave(a, peers)
        const guests = await crowd(a, LIMIT - 1, { ...user, rooms: ['chat/1'] })
        t.same(
          guests.map(({ welcome }) => Object.keys((welcome.data as { rooms: object }).rooms)),
          guests.map(() => ['chat/1']),
          `${transport}: they are members`
        )
        const full = await refusal(a, { transport, token: a.token('late'), rooms: ['chat/1'] })
        t.match(full, { statusCode: 503, code: 'room_full', room: 'chat/1' }, `${transport}: one more in this room`)
        t.ok(Number(full.headers['retry-after']) > 0)
        await leave(a, guests)
      }
      const [first, second, third] = await Promise.all([
        'ada',
        'bob',
        'cid'
      ].map(async (name) => await connect(a, { token: a.token(name) }))) as [NetPeer, NetPeer, NetPeer]
      t.equal(await join(first, 'chat/2'), 'unavailable', 'a room that has no members on this node cannot be followed')
      t.same(
        [await join(first, 'chat/1'), await join(second, 'chat/1'), await join(third, 'chat/1')],
        ['joined', 'joined', 'room_full']
      )
      await begin(broker)
    }
  )

  run(
    `while the broker is ${what} connections are refused before the upgrade where the option says so, and leave no slot behind`,
    async (t) => {
      const story = await two(t, 'refuse')
      const { nodes: [a, b], broker } = story
      const slots = await leases(t, story, 'user:ada')
      const member = await connect(a, { token: a.token('bob') })
      const host = await connect(a, { rooms: ['chat/1'], token: a.token('host') })
      await end(broker)
      for (const phase of ['that is not known yet', 'that is known']) {
        t.equal(await join(member, 'chat/1'), 'unavailable', `nor is a place in a room given without asking, ${phase}`)
        for (const transport of TRANSPORTS) {
          for (const rooms of [[], ['chat/1']]) {
            const refused = await refusal(a, { transport, token: a.token('ada'), rooms })
            t.match(
              refused,
              { statusCode: 503, code: 'unavailable', body: { statusCode: 503, retry: 'backoff' } },
              `${transport} into ${rooms.join() || 'no room'}, ${phase}`
            )
            t.ok(Number(refused.headers['retry-after']) > 0)
          }
        }
        await isUp(story, false)
      }
      host.send({ type: 'ping', id: 'p' })
      await host.next('pong')
      t.equal((await statsOf(a.app)).connections.total, 2, 'who is in stays in')
      await begin(broker)
      await isUp(story, true)
      await eventually('slots that the broker counts', slots, (count) => count === 0)
      const peers = [
        ...await crowd(a, LIMIT - 1, { token: a.token('ada'), rooms: ['chat/1'] }),
        await connect(b, { token: b.token('ada') })
      ]
      for (const server of [a, b]) {
        t.match(await refusal(server, { token: server.token('ada') }), { statusCode: 429, code: 'user_limit' })
        t.match(await refusal(server, { token: server.token('late'), rooms: ['chat/1'] }), {
          statusCode: 503,
          code: 'room_full'
        })
      }
      t.equal(await join(member, 'chat/1'), 'room_full')
      await Promise.all(peers.map(async (peer) => { await peer.close() }))
      await eventually('slots that the broker counts', slots, (count) => count === 0)
    }
  )

  run(
    `when the broker that was ${what} is back, slots given and given back meanwhile are true on both nodes`,
    async (t) => {
      const story = await two(t)
      const { nodes: [a, b], broker } = story
      const [ofUser, ofRoom] = [await leases(t, story, 'user:ada'), await leases(t, story, 'room:chat/1')]
      const [before, early] = await crowd(a, 2, { token: a.token('ada'), rooms: ['chat/1'] }) as [NetPeer, NetPeer]
      const hosted = await connect(b, { token: b.token('host'), rooms: ['chat/1'] })
      await end(broker)
      await isUp(story, false)
      await leave(a, [early])
      await leave(b, [hosted])
      const meanwhile = await connect(a, { token: a.token('ada'), rooms: ['chat/1'] })
      const there = await connect(b, { token: b.token('ada') })
      await begin(broker)
      await isUp(story, true)
      await eventually('slots of the user', ofUser, (count) => count === LIMIT)
      await eventually('places in the room', ofRoom, (count) => count === LIMIT - 1)
      for (const server of [a, b]) {
        t.match(await refusal(server, { token: server.token('ada') }), { statusCode: 429, code: 'user_limit' })
      }
      const last = await connect(b, { token: b.token('bob'), rooms: ['chat/1'] })
      for (const server of [a, b]) {
        t.match(await refusal(server, { token: server.token('cid'), rooms: ['chat/1'] }), {
          statusCode: 503,
          code: 'room_full'
        })
      }
      await leave(a, [before, meanwhile])
      await leave(b, [there, last])
      await eventually('slots of the user', ofUser, (count) => count === 0)
      await eventually('places in the room', ofRoom, (count) => count === 0)
      await crowd(b, LIMIT, { token: b.token('ada'), rooms: ['chat/1'] })
      t.match(await refusal(a, { token: a.token('ada') }), { statusCode: 429, code: 'user_limit' })
    }
  )
}

run('while the broker is away who was revoked stays out of nodes that heard of it, on either policy', async (t) => {
  const story = await two(t)
  const { nodes, broker } = story
  const [a, b] = nodes
  const token = a.token('cid', { jti: 'stolen' })
  for (const server of nodes) await connect(server, { token: server.token('eve') })
  await a.app.rooms.revoke({ user: 'eve' })
  await a.app.rooms.revoke({ tokenId: 'stolen' })
  await eventually(
    'connections of the other node',
    async () => (await statsOf(b.app)).connections.total,
    (total) => total === 0
  )
  // In one stream of messages: what came before this was heard.
  const fence = await connect(b, { token: b.token('fence') })
  await a.app.rooms.revoke({ connection: fence.id })
  await fence.ended
  await broker.kill()
  await isUp(story, false)
  for (const server of nodes) {
    for (const each of [server.token('eve'), token]) {
      t.match(await refusal(server, { token: each }), { statusCode: 403, code: 'revoked' })
    }
    t.ok(await connect(server, { token: server.token('cid') }), 'and nobody else')
  }
})
