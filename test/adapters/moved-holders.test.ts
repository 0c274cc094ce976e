import { connect } from '@nats-io/transport-node'
import { Kvm } from '@nats-io/kv'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { Keys } from '../../lib/adapters/redis/keys.js'
import { NATS, REDIS, type Broker } from '../helpers/brokers.js'
import { missing, startRedis, until, type Server } from '../helpers/servers.js'
import { node, reliable, type Node } from '../../lib/adapters/contract/host.js'

interface EmptyableBroker extends Broker {
  /** It loses what nodes hold there. */
  readonly empty: (server: Server) => Promise<void>
}

const brokers: readonly EmptyableBroker[] = [
  {
    ...REDIS,
    empty: async ({ url }) => {
      const client = new Redis(url)
      await client.flushall()
      client.disconnect()
    }
  },
  {
    ...NATS,
    empty: async ({ url }) => {
      const connection = await connect({ servers: url })
      const bucket = await new Kvm(connection).open('realtime_state')
      const keys: string[] = []
      for await (const key of await bucket.keys()) keys.push(key)
      for (const key of keys) if (/^(lease|presence)/.test(key)) await bucket.purge(key)
      await connection.close()
    }
  }
]

const LEASE = 60_000
const ROOM = 'chat/1'
const SLOT = 'user:ann'
/** A connection that polls, now here, now there. */
const ANN = { userId: 'ann', connection: 'c-ann' }

async function enter ({ adapter }: Node): Promise<void> {
  await adapter.leases!.acquire(SLOT, ANN.connection, 1, LEASE)
  await adapter.presence!.join(ROOM, ANN, LEASE)
}

async function renew ({ adapter }: Node): Promise<void> {
  await adapter.leases!.renew([{ key: SLOT, holder: ANN.connection }], LEASE)
  await adapter.presence!.renew!([{ room: ROOM, entry: ANN }], LEASE)
}

/** @param grace milliseconds for which another node may still take it again */
async function leave ({ adapter }: Node, grace = 0): Promise<void> {
  await adapter.leases!.release(SLOT, ANN.connection)
  await adapter.presence!.leave(ROOM, ANN, grace)
}

/** What the broker knows of it: slots and users. */
async function held ({ adapter }: Node): Promise<[slots: number, users: number]> {
  return [await adapter.leases!.count(SLOT), (await adapter.presence!.snapshot(ROOM, 10)).total]
}

for (const { name, program, start, make, empty } of brokers) {
  const run = (title: string, body: (t: Test, server: Server, a: Node, b: Node) => Promise<void>): void => {
    void t.test(`${name}: ${title}`, { skip: missing(program) }, async (t) => {
      const server = await start(t)
      const [a, b] = [await node(t, make(server.port), 'a'), await node(t, make(server.port), 'b')]
      for (const { adapter } of [a, b]) await adapter.subscribe(ROOM, reliable)
      await body(t, server, a, b)
    })
  }

  run('what moved to another node is that one\'s, though its former node renews it', async (t, _server, a, b) => {
    await enter(a)
    await enter(b)
    await renew(a)
    await leave(a)
    t.same(await held(b), [1, 1], 'its former node has nothing to give back')
    await leave(a, LEASE)
    t.same(await held(b), [1, 1])
    await renew(a)
    await leave(b)
    t.same(await held(b), [0, 0])
  })

  run('what moved there and back is its first node\'s again', async (t, _server, a, b) => {
    for (const at of [a, b, a]) await enter(at)
    await renew(b)
    await leave(b)
    t.same(await held(b), [1, 1])
    await leave(a)
    t.same(await held(b), [0, 0])
  })

  run(
    'a user whose entry two nodes renew, of which neither knows when it was taken, is there until both have let it go',
    async (t, _server, a, b) => {
      await renew(a)
      await renew(b)
      await leave(a, LEASE)
      t.equal((await held(b))[1], 1, 'it stays where it is')
      await leave(b)
      t.same(await held(b), [0, 0])
    }
  )

  for (const [first, second] of [['its former node', 'its node'], ['its node', 'its former node']] as const) {
    run(`after a loss of the data, ${first} renews it before ${second}, and it is its node's`, async (t, server, a, b) => {
      await enter(a)
      await enter(b)
      await empty(server)
      for (const at of first === 'its node' ? [b, a] : [a, b]) await renew(at)
      await leave(a)
      t.same(await held(b), [1, 1])
      await leave(b)
      t.same(await held(b), [0, 0])
    })
  }
}

t.test(
  'redis: members of a server whose data know less of presence than they do are made to ask',
  { skip: missing('redis-server') },
  async (t) => {
    const server = await startRedis(t)
    const { adapter, host } = await node(t, redis({ url: server.url }), 'a')
    await adapter.subscribe(ROOM, reliable)
    for (const userId of ['ann', 'bob']) await adapter.presence!.join(ROOM, { userId, connection: userId }, LEASE)
    const newest = await until('both were announced', () => host.changes.get(ROOM)?.[1]?.sequence)
    const client = new Redis(server.url)
    t.teardown(() => { client.disconnect() })
    const [meta, entries, counts, users] = new Keys('realtime:').presence(ROOM)
    // As they were before the last join, which nobody will ever take back.
    await client.hset(meta!, 'sequence', String(newest - 1))
    await client.zremrangebyrank(entries!, 1, 1)
    for (const key of [counts, users]) await client.hdel(key!, 'bob')
    await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    const hole = await until('a change behind a hole', () => host.changes.get(ROOM)?.[2])
    t.ok(hole.sequence > newest + 1, `${hole.sequence} behind ${newest}`)
    t.same([hole.joined, hole.left], [[], []])
    const { sequence, total } = await adapter.presence!.snapshot(ROOM, 10)
    t.same([sequence, total], [hole.sequence, 1])
  }
)
