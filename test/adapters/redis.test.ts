import t from 'tap'
import { redis } from '../../lib/adapters/redis.js'
import { missing, startRedis, type Server } from '../helpers/servers.js'
import { contract } from './contract.js'

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
}
