export { cluster } from './adapter.js'
export { hostCluster } from './host.js'
export type { ClusterOptions } from './adapter.js'
export type { ClusterHost, ClusterHostOptions } from './host.js'
