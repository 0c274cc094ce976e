export { nats } from './adapter.js'
export type { NatsOptions } from './adapter.js'
