import t from 'tap'
import { redis } from '../../lib/adapters/redis.js'
import { missing, startRedis, type Server } from '../helpers/servers.js'
import { contract } from './contract.js'
import { node, reliable, said, type Node } from './harness.js'

const reason = missing('redis-server')
if (reason !== false) t.plan(0, reason)
else {
  let server: Server | undefined
  let count = 0
  contract({
    name: 'redis',
    nodes: 2,
    make: async () => {
      server ??= await startRedis(t)
      const prefix = `test${++count}:`
      const { url } = server
      return () => redis({ url, prefix })
    }
  })

  t.test('redis: of an acknowledged broadcast it is told how many other nodes were handed it', async (t) => {
    server ??= await startRedis(t)
    const { url } = server
    const nodes = await Promise.all(['a', 'b', 'c'].map(async (id) => await node(t, redis({ url, prefix: 'counted:' }), id)))
    const [a, b, c] = nodes as [Node, Node, Node]
    const asked = async (): Promise<number | undefined> => (await a.adapter.publish('chat/1', said('here?', { delivery: 'volatile', ack: 'a.1' }), reliable)).nodes
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
    const [a, b] = [await node(t, redis({ url, prefix: 'leaving:' }), 'a'), await node(t, redis({ url, prefix: 'leaving:' }), 'b')]
    let handed = 0
    for (let i = 0; i < 50; i++) {
      await b.adapter.subscribe('chat/1', reliable)
      const asking = a.adapter.publish('chat/1', said('here?', { delivery: 'volatile', ack: 'a.1' }), reliable)
      b.adapter.unsubscribe('chat/1')
      handed += (await asking).nodes!
    }
    t.equal((await b.host.heard('chat/1', handed)).length, handed)
  })
}
