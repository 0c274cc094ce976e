import { Cluster, Redis } from 'ioredis'
import t from 'tap'
import { redis } from '../../../lib/adapters/redis/adapter.js'
import { Keys } from '../../../lib/adapters/redis/keys.js'
import { slotOf } from '../../../lib/adapters/redis/shards.js'
import { missing, REDIS_USER, redisUser, startCluster, until, type Server } from '../../helpers/servers.js'
import { adapterContract } from '../../../lib/adapters/contract/contract.js'
import { node, reliable, said, type Node } from '../../../lib/adapters/contract/host.js'

const reason = missing('redis-server')
if (reason !== false) t.plan(0, reason)
else {
  let started: Promise<Server[]> | undefined
  let count = 0
  const servers = async (): Promise<Server[]> => await (started ??= startCluster(t, ...redisUser()))
  const addresses = async (): Promise<Array<{
    host: string
    port: number
  }>> => (await servers()).map(({ port }) => ({ host: '127.0.0.1', port }))

  adapterContract(t, async () => {
    const cluster = await addresses()
    // With the rights that the documents name, and no others.
    const prefix = `realtime:test${++count}:`
    return () => redis({ cluster, prefix, settings: REDIS_USER })
  }, { name: 'redis cluster' })

  t.test('redis cluster: a shard that refuses a subscription when it is back is asked until it takes it', async (t) => {
    const all = await servers()
    const cluster = await addresses()
    const prefix = 'late:'
    const [a, b] = [await node(t, redis({ cluster, prefix }), 'a'), await node(t, redis({ cluster, prefix }), 'b')]
    await a.adapter.subscribe('chat/late', reliable)
    await b.adapter.publish('chat/late', said('before'), reliable)
    await a.host.heard('chat/late', 1)
    const admins = all.map(({ url }) => new Redis(url))
    t.teardown(() => { for (const admin of admins) admin.disconnect() })
    const refused = async (): Promise<boolean> => {
      const stats = await Promise.all(admins.map((admin) => admin.info('errorstats')))
      return stats.some((text) => text.includes('errorstat_NOPERM'))
    }
    // As one does that starts and is no part of the cluster yet: CLUSTERDOWN, or LOADING.
    for (const admin of admins) await admin.call('ACL', 'SETUSER', 'default', '-ssubscribe')
    for (const admin of admins) await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await until('a subscription is refused', refused)
    for (const admin of admins) await admin.call('ACL', 'SETUSER', 'default', '+ssubscribe')
    const channel = new Keys(prefix).events('chat/late')
    const listeners = async (): Promise<number> => {
      const counts = await Promise.all(admins.map((admin) => admin.call('PUBSUB', 'SHARDNUMSUB', channel)))
      return counts.reduce<number>((sum, count) => sum + Number((count as [string, number])[1]), 0)
    }
    await until('the node listens', async () => await listeners() === 1)
    await b.adapter.publish('chat/late', said('after'), reliable)
    t.same(await a.host.heard('chat/late', 2), ['before', 'after'])
  })

  t.test('redis cluster: subscriptions cut on every shard are restored, and what was missed is read', async (t) => {
    const cluster = await addresses()
    const client = new Cluster(cluster)
    t.teardown(() => { client.disconnect() })
    const a = await node(t, redis({ client, prefix: 'cut:' }), 'a')
    const b = await node(t, redis({ cluster, prefix: 'cut:' }), 'b')
    const rooms = Array.from({ length: 12 }, (_, index) => `chat/${index}`)
    for (const room of rooms) await a.adapter.subscribe(room, reliable)
    const publish = async (text: string): Promise<void> => {
      for (const room of rooms) {
        await until(
          `"${text}" is accepted`,
          async () => await b.adapter.publish(room, said(text, { idempotencyKey: text }), reliable)
        )
      }
    }
    await publish('before')
    for (const room of rooms) await a.host.heard(room, 1)
    for (const { host, port } of cluster) {
      const admin = new Redis(port, host)
      t.ok(Number(await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')) > 0)
      admin.disconnect()
    }
    await publish('meanwhile')
    for (const room of rooms) t.same(await a.host.heard(room, 2, 15_000), ['before', 'meanwhile'])
    await publish('after')
    for (const room of rooms) t.same(await a.host.heard(room, 3, 15_000), ['before', 'meanwhile', 'after'])
    t.same(a.host.gaps, [])
  })

  t.test('redis cluster: what a node holds is held anew by another name once a shard has restarted', async (t) => {
    const all = await startCluster(t)
    const cluster = all.map(({ port }) => ({ host: '127.0.0.1', port }))
    const client = new Cluster(cluster)
    t.teardown(() => { client.disconnect() })
    const keys = new Keys('again:')
    const { adapter } = await node(t, redis({ cluster, prefix: 'again:' }), 'a')
    const names = async (): Promise<string[]> => (await client.zrange(keys.nodes, '0', '-1')).sort()
    const before = await names()
    t.equal(before.length, 1)
    // A server that keeps a slot of this node and does not know the node, so that nothing else tells of it.
    const owner = (key: string): number => Number(client.slots[slotOf(key)]![0]!.split(':')[1])
    const rooms = Array.from({ length: 100 }, (_, index) => `room:${index}`)
    const key = rooms.find((room) => owner(keys.leases(room)[0]!) !== owner(keys.nodes))!
    t.equal(await adapter.leases!.acquire(key, 'holder', 1, 60_000, 1), true)
    const port = owner(keys.leases(key)[0]!)
    const other = all.find((server) => server.port === port)!
    await other.kill()
    await other.start()
    await until('it has another name', async () => (await names()).includes(`${before[0]!}.1`), 30_000)
  })

  t.test('redis cluster: slots on a shard that alone lost its data are taken again within seconds, whatever else is there', async (t) => {
    const all = await startCluster(t)
    const cluster = all.map(({ port }) => ({ host: '127.0.0.1', port }))
    const client = new Cluster(cluster)
    t.teardown(() => { client.disconnect() })
    const keys = new Keys('flushed:')
    // The marks are looked at four times a second.
    const { adapter, host } = await node(t, redis({ cluster, prefix: 'flushed:', check: 2_500 }), 'a')
    const owner = (key: string): number => Number(client.slots[slotOf(key)]![0]!.split(':')[1])
    await client.ping()
    const flushed = all.find(({ port }) => port !== owner(keys.nodes))!
    const tags = Array.from({ length: 1_000 }, (_, index) => `${index}`)
    const marks = tags.map((tag) => keys.shardMark(tag))
    const mark = marks.find((key) => owner(key) === flushed.port)!
    await until('the shard has its mark', async () => await client.exists(mark) === 1)
    const before = host.forgotten
    const admin = new Redis(flushed.url)
    t.teardown(() => { admin.disconnect() })
    await admin.flushall()
    await until('the node takes what it holds again', () => host.forgotten > before, 5_000)
    t.equal(adapter.stats!().isUp, true)
    const kept = await Promise.all(marks.map((key) => client.exists(key)))
    t.equal(kept.filter((count) => count === 1).length, 3, 'one for each shard')
  })

  t.test('redis cluster: a shard that is away keeps no room of the others from being compared and swept', async (t) => {
    const all = await startCluster(t, '--cluster-require-full-coverage', 'no')
    const cluster = all.map(({ port }) => ({ host: '127.0.0.1', port }))
    const client = new Cluster(cluster)
    t.teardown(() => { client.disconnect() })
    const keys = new Keys('apart:')
    const make = async (id: string): Promise<Node> => {
      return await node(t, redis({ cluster, prefix: 'apart:', check: 1_000, timeout: 1_000 }), id)
    }
    const a = await make('a')
    await client.ping()
    const owner = (key: string): number => Number(client.slots[slotOf(key)]![0]!.split(':')[1])
    const away = all.find(({ port }) => port !== owner(keys.nodes))!
    const rooms = Array.from({ length: 300 }, (_, index) => `chat/${index}`)
    const there = rooms.filter((room) => owner(keys.meta(room)) !== away.port).at(-1)!
    const ann = { userId: 'ann', connection: 'c-ann' }
    await a.adapter.subscribe(there, reliable)
    await a.adapter.presence!.join(there, ann, 60_000)
    await a.adapter.close()
    for (const key of [keys.nodes, keys.presence(there)[1]!]) {
      for (const member of await client.zrange(key, '0', '-1')) await client.zincrby(key, -120_000, member)
    }
    const b = await make('b')
    for (const room of rooms) {
      await b.adapter.subscribe(room, reliable)
      await b.adapter.presence!.join(room, { userId: 'bob', connection: 'c-bob' }, 60_000)
    }
    const told = (): string[] => b.host.changes.get(there)!.flatMap(({ left }) => left.map(({ userId }) => userId))
    await until('ann has left', () => told().includes('ann'))
    await away.pause()
    t.teardown(() => { away.resume() })
    await b.adapter.presence!.sweep([])!.then(() => { t.fail('all was swept') }, () => {})
    await client.hset(keys.meta(there), 'offset', 1)
    await b.adapter.presence!.leave(there, { userId: 'bob', connection: 'c-bob' }, 1)
    await until('what was missed is told', () => b.host.gaps.some(({ room }) => room === there))
    await until('what ended is swept', async () => {
      await b.adapter.presence!.sweep([])!.catch(() => {})
      return told().includes('bob')
    })
  })
}
