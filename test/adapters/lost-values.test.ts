import { join } from 'node:path'
import t from 'tap'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { lostValues } from '../../lib/adapters/contract/lost-values.js'
import { copies } from '../helpers/data-copies.js'
import { missing, startNats, startRedis } from '../helpers/servers.js'

t.test(
  'redis: after a loss all nodes agree on one value of each key, what a node shows is put back, and what is set since then wins',
  { skip: missing('redis-server'), timeout: 60_000 },
  async (t) => {
    const server = await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always')
    await lostValues(t, {
      make: () => redis({ url: server.url, timeout: 1_000 }),
      ...copies(server, join(server.directory, 'appendonlydir'))
    })
  }
)

t.test(
  'nats: after a loss all nodes agree on one value of each key, what a node shows is put back, and what is set since then wins',
  { skip: missing('nats-server'), timeout: 60_000 },
  async (t) => {
    const server = await startNats(t)
    await lostValues(t, {
      make: () => nats({ url: server.url, timeout: 1_000 }),
      ...copies(server, join(server.directory, 'data'))
    })
  }
)

t.pass('the brokers that are on this machine')
