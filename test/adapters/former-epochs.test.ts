import { join } from 'node:path'
import t from 'tap'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { copies } from '../helpers/data-copies.js'
import { missing, startNats, startRedis } from '../helpers/servers.js'
import { formerEpochs } from '../../lib/adapters/contract/former-epochs.js'

t.test(
  'redis: a position of a former epoch is honoured when all up to it is there and nothing behind it was lost, by every node',
  { skip: missing('redis-server'), timeout: 60_000 },
  async (t) => {
    const server = await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always')
    await formerEpochs(t, {
      make: () => redis({ url: server.url, timeout: 1_000 }),
      ...copies(server, join(server.directory, 'appendonlydir'))
    })
  }
)

t.test(
  'nats: a position of a former epoch is honoured when all up to it is there and nothing behind it was lost, by every node',
  { skip: missing('nats-server'), timeout: 60_000 },
  async (t) => {
    const server = await startNats(t)
    await formerEpochs(t, {
      make: () => nats({ url: server.url, timeout: 1_000 }),
      ...copies(server, join(server.directory, 'data'))
    })
  }
)

t.pass('the brokers that are on this machine')
