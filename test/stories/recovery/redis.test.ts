import { redis } from '../../../lib/adapters/redis/adapter.js'
import { startRedis } from '../../helpers/servers.js'
import { onBroker } from './broker.js'

onBroker({
  name: 'redis',
  program: 'redis-server',
  start: startRedis,
  adapter: (url, prefix) => redis({ url, prefix: `${prefix}:` }),
  isDense: true,
  isCounted: true
})
