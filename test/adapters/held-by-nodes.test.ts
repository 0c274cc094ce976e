import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Redis } from 'ioredis'
import { connect } from '@nats-io/transport-node'
import { Kvm, type KV } from '@nats-io/kv'
import { Nodes, type Beat } from '../../lib/adapters/broker/nodes.js'
import { Keys } from '../../lib/adapters/redis/keys.js'
import type { RedisLink } from '../../lib/adapters/redis/link.js'
import { redisLeases } from '../../lib/adapters/redis/stores.js'
import { stateKey } from '../../lib/adapters/nats/tokens.js'
import { NATS, REDIS, type Broker } from '../helpers/brokers.js'
import { matchList } from '../helpers/match-list.js'
import { missing, startRedis, until, type Server, type Teardown } from '../helpers/servers.js'
import { node, reliable, type Node } from '../../lib/adapters/contract/host.js'

/** Lets time pass at the broker for what it keeps, without waiting for it. */
interface Past {
  /** What is held in the room and of the key was taken two minutes ago. */
  readonly takenLongAgo: (key: string, room: string) => Promise<void>
  /** Only so many nodes, those that came last, were heard of within the last two minutes. */
  readonly silent: (heard: number) => Promise<void>
}

interface AgeingBroker extends Broker {
  readonly past: (t: Teardown, server: Server) => Promise<Past>
  /** Keeps a copy of what the server of a node has. @returns puts it back, while the server is down */
  readonly keep: (server: Server, node: Node) => Promise<() => Promise<void>>
}

const LEASE = 60_000
const AGO = 2 * LEASE

async function redisPast (t: Teardown, { url }: Server): Promise<Past> {
  const client = new Redis(url)
  t.teardown(() => { client.disconnect() })
  const keys = new Keys('realtime:')
  const older = async (key: string): Promise<void> => {
    for (const member of await client.zrange(key, '0', '-1') as string[]) await client.zincrby(key, -AGO, member)
  }
  return {
    takenLongAgo: async (key, room) => {
      await older(keys.leases(key)[0]!)
      await older(keys.presence(room)[1]!)
    },
    silent: async (heard) => {
      const nodes = await client.zrange(keys.nodes, '0', '-1')
      for (const each of nodes.slice(0, nodes.length - heard)) await client.zincrby(keys.nodes, -AGO, String(each))
    }
  }
}

async function natsPast (t: Teardown, { url }: Server): Promise<Past> {
  const connection = await connect({ servers: url })
  t.teardown(() => connection.close())
  const bucket: KV = await new Kvm(connection).open('realtime_state')
  const change = async (key: string, step: (value: Record<string, unknown>) => void): Promise<void> => {
    const value = (await bucket.get(key))!.json<Record<string, unknown>>()
    step(value)
    await bucket.put(key, JSON.stringify(value))
  }
  const older = (times: Record<string, unknown>, names = Object.keys(
    times
  )): void => { for (const name of names) times[name] = Number(times[name]) - AGO }
  return {
    takenLongAgo: async (key, room) => {
      await change(stateKey('lease', key), older)
      await change(stateKey('presence', room), ({ users }) => {
        for (const { connections } of Object.values(
          users as Record<string, { connections: Record<string, unknown> }>
        )) {
          older(connections)
        }
      })
    },
    silent: async (heard) => {
      await change('nodes.all', (value) => {
        older(value, Object.keys(value).slice(0, Object.keys(value).length - heard))
      })
    }
  }
}

async function keepData ({ directory }: Server, data: string): Promise<() => Promise<void>> {
  const [now, then] = [join(directory, data), join(directory, 'then')]
  await cp(now, then, { recursive: true })
  return async () => {
    await rm(now, { recursive: true })
    await cp(then, now, { recursive: true })
  }
}

const brokers: readonly AgeingBroker[] = [
  {
    ...REDIS,
    start: async (t) => await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always'),
    past: redisPast,
    keep: async (server) => await keepData(server, 'appendonlydir')
  },
  {
    ...NATS,
    past: natsPast,
    keep: async (server, { adapter, host }) => {
      await server.stop()
      await until('it is away', () => adapter.stats!().isUp === false)
      const putBack = await keepData(server, 'data')
      await server.start()
      await until('it is back', () => host.forgotten > 0)
      return putBack
    }
  }
]

/** A node that holds a slot and somebody's presence, and then another one. */
async function two (
  t: Test,
  { start, make, past }: AgeingBroker
): Promise<{ a: Node, b: Node, past: Past, server: Server }> {
  const server = await start(t)
  const a = await node(t, make(server.port), 'a')
  await a.adapter.leases!.acquire('user:ann', 'c-ann', 1, LEASE)
  await a.adapter.subscribe('chat/1', reliable)
  await a.adapter.presence!.join('chat/1', { userId: 'ann', connection: 'c-ann' }, LEASE)
  const b = await node(t, make(server.port), 'b')
  await b.adapter.subscribe('chat/1', reliable)
  await b.adapter.presence!.join('chat/1', { userId: 'bob', connection: 'c-bob' }, LEASE)
  return { a, b, past: await past(t, server), server }
}

async function isFree ({ adapter }: Node, holder: string): Promise<boolean> {
  const isTaken = await adapter.leases!.acquire('user:ann', holder, 1, LEASE)
  if (isTaken) await adapter.leases!.release('user:ann', holder)
  return isTaken
}

function leaves ({ host }: Node): string[] {
  return (host.changes.get('chat/1') ?? []).flatMap(({ left }) => left.map(({ userId }) => userId))
}

async function leaveIsAnnounced (node: Node): Promise<void> {
  await until('the leave is announced', async () => {
    await node.adapter.presence!.sweep(['chat/1'])
    return leaves(node).length > 0
  })
}

for (const broker of brokers) {
  const { name, program } = broker
  const skip = missing(program)

  t.test(
    `${name}: what a node took longer ago than the lease is held as long as the node is heard of`,
    { skip },
    async (t) => {
      const { b, past } = await two(t, broker)
      await past.takenLongAgo('user:ann', 'chat/1')
      t.equal(await b.adapter.leases!.count('user:ann'), 1)
      t.equal(await isFree(b, 'c-other'), false)
      await b.adapter.presence!.sweep(['chat/1'])
      t.equal((await b.adapter.presence!.snapshot('chat/1', 10)).total, 2)
      t.same(leaves(b), [])
    }
  )

  t.test(
    `${name}: what a node held that is not heard of any more is free, and each of its users leaves once`,
    { skip },
    async (t) => {
      const { a, b, past } = await two(t, broker)
      await past.takenLongAgo('user:ann', 'chat/1')
      await past.silent(1)
      await until('the slot is free', () => isFree(b, 'c-other'))
      await leaveIsAnnounced(b)
      await b.adapter.presence!.sweep(['chat/1'])
      t.same(leaves(b), ['ann'])
      t.equal((await a.adapter.presence!.snapshot('chat/1', 10)).total, 1)
    }
  )

  t.test(`${name}: what a node holds for longer does not keep what a dead node held for less`, { skip }, async (t) => {
    const { b, past } = await two(t, broker)
    await b.adapter.presence!.join('hall/1', { userId: 'zoe', connection: 'c-zoe' }, 3 * LEASE)
    await past.takenLongAgo('user:ann', 'chat/1')
    await past.silent(1)
    await until('the slot is free', () => isFree(b, 'c-other'))
    await leaveIsAnnounced(b)
    t.same(leaves(b), ['ann'])
  })

  t.test(`${name}: who was held by a dead node has left a room that another node enters later`, { skip }, async (t) => {
    const { a, b, past } = await two(t, broker)
    await a.adapter.subscribe('hall/1', reliable)
    await a.adapter.presence!.join('hall/1', { userId: 'zoe', connection: 'c-zoe' }, LEASE)
    await a.adapter.close()
    for (const room of ['chat/1', 'hall/1']) await past.takenLongAgo('user:ann', room)
    await past.silent(1)
    await until('the slot is free', () => isFree(b, 'c-other'))
    await leaveIsAnnounced(b)
    await b.adapter.presence!.sweep(['chat/1'])
    await b.adapter.subscribe('hall/1', reliable)
    await b.adapter.presence!.join('hall/1', { userId: 'bob', connection: 'c-bob' }, LEASE)
    matchList(t, (await b.adapter.presence!.snapshot('hall/1', 10)).list, [{ userId: 'bob' }])
    t.equal((await b.adapter.presence!.snapshot('hall/1', 10)).total, 1)
  })

  t.test(
    `${name}: what a node gives up that another node holds by now under the same name is held on`,
    { skip },
    async (t) => {
      const { a, b } = await two(t, broker)
      await b.adapter.leases!.acquire('user:ann', 'c-ann', 1, LEASE)
      await b.adapter.presence!.join('chat/1', { userId: 'ann', connection: 'c-ann' }, LEASE)
      await a.adapter.leases!.release('user:ann', 'c-ann')
      await a.adapter.presence!.leave('chat/1', { userId: 'ann', connection: 'c-ann' }, 0)
      t.equal(await a.adapter.leases!.count('user:ann'), 1)
      t.equal((await a.adapter.presence!.snapshot('chat/1', 10)).total, 2)
      await b.adapter.leases!.release('user:ann', 'c-ann')
      await b.adapter.presence!.leave('chat/1', { userId: 'ann', connection: 'c-ann' }, 0)
      t.equal(await a.adapter.leases!.count('user:ann'), 0)
      t.equal((await a.adapter.presence!.snapshot('chat/1', 10)).total, 1)
    }
  )

  t.test(`${name}: a node that was not heard of for a lease is told to hold anew what it held`, { skip }, async (t) => {
    const { a, past, server } = await two(t, broker)
    await past.silent(0)
    t.equal(a.host.forgotten, 0)
    // The same run of the server, because any other one is told what is held.
    await server.pause()
    await until('it is away', () => a.adapter.stats!().isUp === false)
    server.resume()
    await until('it is told', () => a.host.forgotten > 0)
  })

  t.test(
    `${name}: what older data brings back of connections that have ended ends with the lease, and what is held is held on`,
    { skip },
    async (t) => {
      const server = await broker.start(t)
      const a = await node(t, broker.make(server.port), 'a')
      const [leases, presence] = [a.adapter.leases!, a.adapter.presence!]
      const entry = (user: string): { userId: string, connection: string } => {
        return { userId: user, connection: `c-${user}` }
      }
      await a.adapter.subscribe('chat/1', reliable)
      for (const user of ['stays', 'goes']) {
        await leases.acquire('user:ann', `c-${user}`, 2, LEASE)
        await presence.join('chat/1', entry(user), LEASE)
      }
      const putBack = await broker.keep(server, a)
      const before = a.host.forgotten
      await leases.release('user:ann', 'c-goes')
      await presence.leave('chat/1', entry('goes'), 0)
      await server.kill()
      await until('it is away', () => a.adapter.stats!().isUp === false)
      await putBack()
      await server.start()
      await until('it is told', () => a.host.forgotten > before, 10_000)
      await leases.renew([{ key: 'user:ann', holder: 'c-stays' }], LEASE)
      await presence.renew!([{ room: 'chat/1', entry: entry('stays') }], LEASE)
      t.equal((await presence.snapshot('chat/1', 10)).total, 2)
      const past = await broker.past(t, server)
      await past.takenLongAgo('user:ann', 'chat/1')
      await past.silent(1)
      // Who finds no slot looks who is heard of.
      await until('a slot is free', () => leases.acquire('user:ann', 'c-comes', 2, LEASE))
      t.equal(await leases.count('user:ann'), 2)
      await leases.release('user:ann', 'c-comes')
      await until('who went has left', async () => {
        await presence.sweep(['chat/1'])
        return (await presence.snapshot('chat/1', 10)).total === 1
      })
      matchList(t, (await presence.snapshot('chat/1', 10)).list, [{ userId: 'stays' }])
      // What was held by the old name is this node's to give back all the same.
      await leases.release('user:ann', 'c-stays')
      t.equal(await leases.count('user:ann'), 0)
    }
  )
}

t.test(
  'redis: a node that holds no slots itself frees none of a node whose latest heartbeats it has not heard of',
  { skip: missing('redis-server') },
  async (t) => {
    const server = await startRedis(t)
    const client = new Redis(server.url)
    t.teardown(() => { client.disconnect() })
    const { adapter } = await node(t, REDIS.make(server.port), 'a')
    await adapter.leases!.acquire('user:ann', 'c-ann', 1, LEASE)
    const keys = new Keys('realtime:')
    // As if the node had been silent for just less than the lease when the other one hears of it last.
    for (const key of [keys.nodes, keys.leases('user:ann')[0]!]) {
      for (const member of await client.zrange(key, '0', '-1')) await client.zincrby(key, 500 - LEASE, member)
    }
    const b = await node(t, REDIS.make(server.port), 'b')
    const [first] = await client.zrange(keys.nodes, '0', '-1') as [string]
    const over = Number(await client.zscore(keys.nodes, first)) + LEASE
    await client.zadd(keys.nodes, Date.now(), first)
    await until('the lease is over without those heartbeats', () => Date.now() > over)
    t.equal(await b.adapter.leases!.count('user:ann'), 1)
  }
)

t.test(
  'redis: a room that cannot be swept keeps nobody in another one whose node has died, and is swept once it can be',
  { skip: missing('redis-server') },
  async (t) => {
    const { b, past, server } = await two(t, brokers[0]!)
    const client = new Redis(server.url)
    t.teardown(() => { client.disconnect() })
    const [, entries] = new Keys('realtime:').presence('hall/1') as [string, string]
    await b.adapter.subscribe('hall/1', reliable)
    await b.adapter.presence!.join('hall/1', { userId: 'bob', connection: 'c-bob' }, LEASE)
    await b.adapter.presence!.join('hall/1', { userId: 'cho', connection: 'c-cho' }, LEASE)
    await client.rename(entries, 'away')
    await client.set(entries, 'no set')
    await past.takenLongAgo('user:ann', 'chat/1')
    await past.silent(1)
    await until('the slot is free', () => isFree(b, 'c-other'))
    await until('the leave is announced', async () => {
      await t.rejects(async () => { await b.adapter.presence!.sweep(['chat/1']) })
      return leaves(b).length > 0
    })
    t.same(leaves(b), ['ann'])
    await client.rename('away', entries)
    await until('it is swept', async () => await b.adapter.presence!.sweep([])!.then(() => true, () => false))
  }
)

t.test(
  'redis: what a node held that died with its server ends with its lease, also where the clock of the next server is behind',
  { skip: missing('redis-server') },
  async (t) => {
    const server = await startRedis(t)
    const client = new Redis(server.url)
    t.teardown(() => { client.disconnect() })
    const a = await node(t, REDIS.make(server.port), 'a')
    await a.adapter.leases!.acquire('user:ann', 'c-ann', 1, LEASE)
    await a.adapter.subscribe('chat/1', reliable)
    await a.adapter.presence!.join('chat/1', { userId: 'ann', connection: 'c-ann' }, LEASE)
    await a.adapter.close()
    const keys = new Keys('realtime:')
    const [first] = await client.zrange(keys.nodes, '0', '-1') as [string]
    for (const key of [keys.nodes, keys.leases('user:ann')[0]!, keys.presence('chat/1')[1]!]) {
      for (const member of await client.zrange(key, '0', '-1')) await client.zincrby(key, 20 * LEASE, member)
    }
    const b = await node(t, REDIS.make(server.port), 'b')
    await b.adapter.subscribe('chat/1', reliable)
    await b.adapter.presence!.join('chat/1', { userId: 'bob', connection: 'c-bob' }, LEASE)
    t.equal(await isFree(b, 'c-other'), false)
    t.ok(Number(await client.zscore(keys.nodes, first)) <= Date.now(), 'it counts as heard of now')
    await client.zincrby(keys.nodes, -AGO, first)
    await until('the slot is free', () => isFree(b, 'c-other'))
    await leaveIsAnnounced(b)
    t.same(leaves(b), ['ann'])
  }
)

t.test('redis: who was held by a dead node leaves with its lease, also where the entries were evicted after its death', { skip: missing('redis-server') }, async (t) => {
  const { a, b, past, server } = await two(t, brokers[0]!)
  const client = new Redis(server.url)
  t.teardown(() => { client.disconnect() })
  await a.adapter.close()
  await past.takenLongAgo('user:ann', 'chat/1')
  const [, entries] = new Keys('realtime:').presence('chat/1') as [string, string]
  await client.del(entries)
  await b.adapter.presence!.sweep([])
  t.equal(await client.zcard(entries), 2, 'they are known by their nodes')
  await past.silent(1)
  await until('the slot is free', () => isFree(b, 'c-other'))
  await leaveIsAnnounced(b)
  t.same(leaves(b), ['ann'])
  t.equal((await b.adapter.presence!.snapshot('chat/1', 10)).total, 1)
})

t.test('redis: a node that has given back all it held is forgotten when it ends, and no other one', { skip: missing('redis-server') }, async (t) => {
  const server = await startRedis(t)
  const client = new Redis(server.url)
  t.teardown(() => { client.disconnect() })
  const count = async (): Promise<number> => await client.zcard(new Keys('realtime:').nodes)
  const holds = async (id: string): Promise<Node> => {
    const made = await node(t, REDIS.make(server.port), id)
    const { leases, presence } = made.adapter
    await leases!.acquire('user:ann', `c-${id}`, 10, LEASE, 1)
    await made.adapter.subscribe('chat/1', reliable)
    await presence!.join('chat/1', { userId: id, connection: `c-${id}`, fence: 1 }, LEASE)
    return made
  }
  const [ended, slot, present] = [await holds('ended'), await holds('slot'), await holds('present')]
  for (const { adapter: { leases, presence }, host: { nodeId } } of [ended, slot, present]) {
    const grace = nodeId === 'slot' ? 0 : 10_000
    if (nodeId !== 'present') {
      await presence!.leave('chat/1', { userId: nodeId, connection: `c-${nodeId}`, fence: 1 }, grace)
    }
    if (nodeId === 'present') await leases!.release('user:ann', `c-${nodeId}`, 1)
  }
  for (const [each, left] of [[present, 3], [slot, 3], [ended, 2]] as const) {
    // What is given back last may be on its way when the node ends.
    const given = each === ended ? ended.adapter.leases!.release('user:ann', 'c-ended', 1) : undefined
    await each.adapter.close()
    await given
    t.equal(await count(), left, each.host.nodeId)
  }
})

t.test('redis: what a dead node held of a limit is asked to be freed until it was, also where a slot was free meanwhile', async (t) => {
  const asked: unknown[] = []
  const answers = ['0', '5', '0', '0', '0']
  const link = {
    insist: async (_asking: string, _key: string, ask: () => Promise<boolean>) => await ask(),
    script: async (_script: unknown, _keys: unknown, args: readonly unknown[]) => {
      asked.push(args[4])
      return answers.shift()
    }
  } as unknown as RedisLink
  const beat = async (): Promise<Beat> => ({ now: 10 * LEASE, before: undefined, others: [{ node: 'x', at: 0 }] })
  const leases = redisLeases(link, new Keys(''), new Nodes({ node: 'a', beat, hold: async () => undefined }))
  t.equal(await leases.acquire('user:ann', 'one', 1, LEASE), true)
  t.same(asked, ['', 'x 0'])
  t.equal(await leases.acquire('user:ann', 'two', 1, LEASE), false)
  t.equal(await leases.acquire('user:ann', 'two', 1, LEASE), false)
  t.same(asked.slice(2), ['x 0', 'x 0', ''], 'until there can be none left')
})
