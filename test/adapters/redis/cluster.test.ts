import { Cluster, Redis } from 'ioredis'
import t from 'tap'
import { redis } from '../../../lib/adapters/redis/adapter.js'
import { Keys } from '../../../lib/adapters/redis/keys.js'
import { slotOf } from '../../../lib/adapters/redis/shards.js'
import { missing, REDIS_USER, redisUser, startCluster, until, type Server } from '../../helpers/servers.js'
import { adapterContract } from '../../../lib/adapters/contract/contract.js'
import { live, node, reliable, said, type Node } from '../../../lib/adapters/contract/host.js'

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

  t.test('redis cluster: what was sent while a node listened at the former shard of a slot is there soon, also what has no position', async (t) => {
    const all = await startCluster(t)
    const cluster = all.map(({ port }) => ({ host: '127.0.0.1', port }))
    const admins = new Map(all.map(({ port, url }) => [port, new Redis(url)]))
    const client = new Cluster(cluster)
    t.teardown(() => { for (const each of [client, ...admins.values()]) each.disconnect() })
    const keys = new Keys('moved:')
    const [a, b] = [
      await node(t, redis({ cluster, prefix: 'moved:' }), 'a'),
      await node(t, redis({ cluster, prefix: 'moved:' }), 'b')
    ]
    const growing = { ...live, append: { size: 1_000, ttl: 60_000 } }
    await a.adapter.subscribe('chat/kept', reliable)
    await a.adapter.subscribe('live/1', growing)
    const entry = { connection: 'c1', userId: 'ann' }
    await a.adapter.presence!.join('live/1', { ...entry, userId: 'bob', connection: 'c2' }, 60_000)
    await until('it is told', () => a.host.changes.get('live/1')?.length === 1)
    const set = async (text: string): Promise<unknown> => {
      return await b.adapter.publish('live/1', said(text, { delivery: 'latest', key: 'k' }), growing)
    }
    const part = { before: '{"text":"', inside: '', isList: false, from: 0, to: 0 }
    const step = { type: 'answer', key: 'x', timestamp: 1, writer: 'w', number: 0, lease: 60_000, part }
    await b.adapter.texts!.write('live/1', step, growing)
    await set('before')
    await until('it shows the value', () => a.host.shown('live/1').join() === 'k before')
    await client.ping()
    const ids = new Map(await Promise.all([...admins].map(async ([port, admin]) => {
      return [port, String(await admin.call('CLUSTER', 'MYID'))] as const
    })))
    const owners = new Map<number, number>()
    const move = async (slot: number): Promise<void> => {
      const from = owners.get(slot) ?? Number(client.slots[slot]![0]!.split(':')[1])
      const to = all.find(({ port }) => port !== from)!.port
      owners.set(slot, to)
      await admins.get(to)!.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids.get(from)!)
      await admins.get(from)!.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids.get(to)!)
      for (;;) {
        const some = await admins.get(from)!.call('CLUSTER', 'GETKEYSINSLOT', slot, 100) as string[]
        if (some.length === 0) break
        await admins.get(from)!.call('MIGRATE', '127.0.0.1', to, '', 0, 5_000, 'KEYS', ...some)
      }
      for (const port of [to, from]) await admins.get(port)!.call('CLUSTER', 'SETSLOT', slot, 'NODE', ids.get(to)!)
    }
    const listeners = async (): Promise<number> => {
      const counts = await Promise.all([...admins.values()].map(async (admin) => {
        const [, count] = await admin.call('PUBSUB', 'SHARDNUMSUB', keys.events('live/1')) as [string, number]
        return Number(count)
      }))
      return counts.reduce((sum, count) => sum + count, 0)
    }
    for (const key of [keys.control, keys.meta('chat/kept')]) await move(slotOf(key))
    await until('nobody listens for a moment', async () => {
      await move(slotOf(keys.meta('live/1')))
      return await listeners() === 0
    })
    const isSent = async (what: string, send: () => unknown): Promise<void> => {
      await until(what, async () => { await send(); return true })
    }
    await Promise.all([
      isSent('event', () => b.adapter.publish('chat/kept', said('x', { idempotencyKey: 'x' }), reliable)),
      isSent('value', () => set('after')),
      isSent('text', () => b.adapter.texts!.write('live/1', { ...step, number: 1, part: { ...part, inside: 'abc', to: 3 } }, growing)),
      isSent('presence', () => b.adapter.presence!.join('live/1', entry, 60_000)),
      isSent('control', () => b.adapter.control!.send({ type: 'revoke', user: 'eve' }))
    ])
    await until('all is there', () => {
      const texts = (a.host.events.get('live/1') ?? []).filter(({ event }) => event!.part !== undefined)
      const seen = {
        events: a.host.texts('chat/kept'),
        value: a.host.shown('live/1'),
        text: texts.at(-1)?.event!.part!.inside,
        joined: a.host.changes.get('live/1')!.flatMap(({ joined }) => joined.map(({ userId }) => userId)),
        control: a.host.controls.map(({ message: { type } }) => type)
      }
      if (JSON.stringify(seen) === JSON.stringify({
        events: ['x'], value: ['k after'], text: 'abc', joined: ['bob', 'ann'], control: ['revoke']
      })) return true
      throw new Error(JSON.stringify(seen))
    }, 10_000)
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

  t.test('redis cluster: whoever is denied is found at once, though the shard of another subject is silent', async (t) => {
    const all = await startCluster(t, '--cluster-require-full-coverage', 'no')
    const cluster = all.map(({ port }) => ({ host: '127.0.0.1', port }))
    const client = new Cluster(cluster)
    t.teardown(() => { client.disconnect() })
    const keys = new Keys('denied:')
    const { adapter: { denials } } = await node(t, redis({ cluster, prefix: 'denied:', timeout: 1_000 }), 'a')
    await client.ping()
    const owner = (key: string): number => Number(client.slots[slotOf(key)]![0]!.split(':')[1])
    const away = all.find(({ port }) => port !== owner(keys.nodes))!
    const some = Array.from({ length: 100 }, (_, index) => `user:${index}`)
    const there = some.find((subject) => owner(keys.denial(subject)) !== away.port)!
    const silent = some.find((subject) => owner(keys.denial(subject)) === away.port)!
    await denials!.deny(there, Date.now() + 60_000)
    await away.pause()
    t.teardown(() => { away.resume() })
    const began = performance.now()
    t.equal(await denials!.isDenied([silent, there]), true)
    t.ok(performance.now() - began < 900, 'before the silent one is given up')
    await t.rejects(async () => await denials!.isDenied([silent]), { code: 'unavailable' })
  })
}
