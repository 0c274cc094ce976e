import t from 'tap'
import type { Adapter } from '../../../lib/adapters/adapter.js'
import { redis } from '../../../lib/adapters/redis/adapter.js'
import { missing, REDIS_USER, redisUser, startRedis, until, type Server } from '../../helpers/servers.js'
import { adapterContract } from '../../../lib/adapters/contract/contract.js'
import { FakeHost, node, reliable, said, type Node } from '../../../lib/adapters/contract/host.js'

const reason = missing('redis-server')
if (reason !== false) t.plan(0, reason)
else {
  let server: Server | undefined
  let count = 0
  adapterContract(t, async () => {
    server ??= await startRedis(t, ...redisUser())
    // With the rights that the documents name, and no others.
    const prefix = `realtime:test${++count}:`
    const { url } = server
    return () => redis({ url, prefix, settings: REDIS_USER })
  }, { name: 'redis' })

  t.test('redis: of an acknowledged broadcast it is told how many other nodes were handed it', async (t) => {
    server ??= await startRedis(t)
    const { url } = server
    const nodes = await Promise.all([
      'a',
      'b',
      'c'
    ].map(async (id) => await node(t, redis({ url, prefix: 'counted:' }), id)))
    const [a, b, c] = nodes as [Node, Node, Node]
    const asked = async (): Promise<number | undefined> => (await a.adapter.publish(
      'chat/1',
      said('here?', { delivery: 'volatile', ack: 'a.1' }),
      reliable
    )).nodes
    t.equal(await asked(), 0)
    await b.adapter.subscribe('chat/1', reliable)
    t.equal(await asked(), 1, 'a node without members is not among them')
    await a.adapter.subscribe('chat/1', reliable)
    t.equal(await asked(), 1)
    await c.adapter.subscribe('chat/1', reliable)
    t.equal(await asked(), 2)
    a.adapter.unsubscribe('chat/1')
    t.equal(await asked(), 2, 'nor is one that has just left')
  })

  t.test('redis: a node that leaves a room while an acknowledged broadcast comes still hears it', async (t) => {
    server ??= await startRedis(t)
    const { url } = server
    const [a, b] = [
      await node(t, redis({ url, prefix: 'leaving:' }), 'a'),
      await node(t, redis({ url, prefix: 'leaving:' }), 'b')
    ]
    let handed = 0
    for (let i = 0; i < 50; i++) {
      await b.adapter.subscribe('chat/1', reliable)
      const asking = a.adapter.publish('chat/1', said('here?', { delivery: 'volatile', ack: 'a.1' }), reliable)
      b.adapter.unsubscribe('chat/1')
      handed += (await asking).nodes!
    }
    t.equal((await b.host.heard('chat/1', handed)).length, handed)
  })

  t.test(
    'redis: idempotency keys beyond the bytes of their user are given back, the oldest first, and are counted',
    async (t) => {
      server ??= await startRedis(t)
      const { url } = server
      const a = redis({ url, prefix: 'bounded:' })
      t.teardown(async () => { await a.close() })
      await a.start(Object.assign(new FakeHost('a'), { remembered: { bytes: 1_000_000, perUser: 10_000 } }))
      const b = await node(t, redis({ url, prefix: 'bounded:' }), 'b')
      const publish = async (adapter: Adapter, owner: string, key: string): Promise<number> =>
        (await adapter.publish('chat/1', said(key, { idempotencyKey: key, owner }), reliable)).position!.offset
      const bobs = await publish(a, 'bob', 'bob 0')
      const offsets: number[] = []
      for (let index = 0; index < 40; index++) offsets.push(await publish(a, 'ada', `ada ${index}`))
      const { forgotten } = a.stats!() as { forgotten: number }
      t.ok(forgotten > 10 && forgotten < 30, `${forgotten} given back`)
      t.equal(await publish(b.adapter, 'ada', 'ada 39'), offsets[39])
      t.equal(await publish(b.adapter, 'bob', 'bob 0'), bobs, 'nobody else loses by it')
      await until('the oldest is forgotten', async () => await publish(b.adapter, 'ada', 'ada 0') > offsets[39]!)
    }
  )
}
