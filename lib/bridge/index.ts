export { bridge } from './bridge.js'
export type { Bridge, BridgedEvent, BridgeOptions, BridgeStats, BridgeTarget } from './types.js'
