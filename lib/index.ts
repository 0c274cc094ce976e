import plugin from './plugin.js'
import { defineRoom } from './contract/define-room.js'

export { plugin as default, plugin as fastifyRealtime, plugin as 'module.exports' }
export { defineRoom }
export { createPublisher } from './publisher.js'
export { memory, type MemoryOptions } from './adapters/memory.js'
export type * from './contract/types.js'
export type * from './types.js'
export type * from './adapters/adapter.js'
export type { Position } from './protocol/position.js'
export type { Code, Retry } from './protocol/codes.js'
