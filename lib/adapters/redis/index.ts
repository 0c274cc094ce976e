export { redis } from './adapter.js'
export type { RedisOptions } from './adapter.js'
