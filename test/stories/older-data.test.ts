import { Redis } from 'ioredis'
import t from 'tap'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { Keys } from '../../lib/adapters/redis/keys.js'
import { keyOfKind } from '../../lib/protocol/key.js'
import { connect, declareChat, eventually, start } from '../helpers/net.js'
import { missing, startRedis } from '../helpers/servers.js'

/** Milliseconds in which both are gone; without being told so once more they would stay for a lease of a minute. */
const SOON = 20_000

t.test('a server that comes back with older data is told once more what was given back lately', {
  skip: missing('redis-server')
}, async (t) => {
  const broker = await startRedis(t)
  const admin = new Redis(broker.url)
  t.teardown(() => { admin.disconnect() })
  const node = await start(t, {
    adapter: redis({ url: broker.url }),
    presence: { grace: 50 },
    declare: (app) => { declareChat(app, { capacity: 1, presence: true }) }
  })
  const keys = new Keys('realtime:')
  const count = async (): Promise<[places: number, present: number]> => [
    await admin.zcard(keys.leases(keyOfKind('room', 'chat/1'))[0]!),
    await admin.zcard(keys.presence('chat/1')[1]!)
  ]
  const are = (places: number, present: number, most?: number): Promise<unknown> => {
    return eventually('places and those who are there', count, (found) => found.join() === `${places},${present}`, most)
  }

  const ann = await connect(node, { token: node.token('ann'), rooms: ['chat/1'] })
  await are(1, 1)
  await admin.save()
  await ann.close()
  await are(0, 0)
  await broker.kill()
  await broker.start()
  await are(0, 0, SOON)
})
