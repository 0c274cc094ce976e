import t from 'tap'
import { redis } from '../../lib/adapters/redis.js'
import { missing, startRedis, type Server } from '../helpers/servers.js'
import { across, moving } from './across.js'
import type { Ground } from './client.js'
import { readers } from './readers.js'
import { recovery } from './scenarios.js'

const reason = missing('redis-server')
if (reason !== false) t.plan(0, reason)
else {
  let server: Promise<Server> | undefined
  let count = 0
  const one: Ground = {
    name: 'redis',
    nodes: 1,
    make: async () => {
      const { url } = await (server ??= startRedis(t))
      const prefix = `test${++count}:`
      return () => redis({ url, prefix })
    },
    run: { events: 2_000, cuts: 60 },
    isAtOnce: false,
    isDense: true,
    isCounted: true,
    patience: 2_000
  }
  const two: Ground = { ...one, name: 'redis, two nodes', nodes: 2 }
  recovery(one)
  readers(one)
  recovery(two)
  across(two)
  moving(two)
}
