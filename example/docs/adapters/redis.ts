import type { RealtimeOptions } from 'fastify-realtime'
import { redis } from 'fastify-realtime/redis'

const settings = { username: 'realtime', password: process.env.REDIS_PASSWORD ?? '' }

export const oneServer: RealtimeOptions = {
  adapter: redis({ url: 'redis://10.0.0.5:6379', prefix: 'shop:', settings })
}

export const withSentinels: RealtimeOptions = {
  adapter: redis({
    sentinels: { name: 'main', nodes: [{ host: '10.0.0.5', port: 26379 }, { host: '10.0.0.6', port: 26379 }] },
    prefix: 'shop:',
    settings
  })
}

export const withCluster: RealtimeOptions = {
  adapter: redis({
    cluster: [{ host: '10.0.0.5', port: 6379 }, { host: '10.0.0.6', port: 6379 }],
    prefix: 'shop:',
    settings
  })
}
