export { redis } from './adapter.js'
export type { RedisHost, RedisOptions } from './adapter.js'
