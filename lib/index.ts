import realtime from './plugin/plugin.js'
import { defineRoom } from './contract/define-room.js'
import { createPublisher } from './app/publisher.js'
import { memory } from './adapters/memory/adapter.js'
import { Refusal } from './errors/refusal.js'

const exported = { default: realtime, fastifyRealtime: realtime, defineRoom, createPublisher, memory, Refusal }

/**
 * The plugin. What else this entry point exports hangs on it too: in CommonJS `require` returns the plugin itself, and
 * `const { defineRoom } = require('fastify-realtime')` finds the rest there.
 */
const plugin: typeof realtime & typeof exported = Object.assign(realtime, exported)

export { plugin as default, plugin as fastifyRealtime, plugin as 'module.exports' }
export { createPublisher, defineRoom, memory, Refusal }
export type { RefusalOptions, Why } from './errors/refusal.js'
export type { Publisher } from './app/publisher.js'
export type { MemoryOptions } from './adapters/memory/adapter.js'
// Adds `rooms` and `room` to the types of Fastify.
export type * from './plugin/augmentation.js'
export type * from './contract/types.js'
export type * from './types/user.js'
export type * from './types/handlers.js'
export type * from './types/rooms.js'
export type * from './types/connections.js'
export type * from './types/room-options.js'
export type * from './types/streams.js'
export type * from './types/options.js'
export type * from './types/api-options.js'
export type * from './adapters/adapter.js'
export type {
  BroadcastStep, ConnectionClosed, ConnectionOpened, DeliverStep, MessageStep, TracedStep
} from './diagnostics/channels.js'
export type { Position } from './protocol/position.js'
export type { Code, EndReason, Retry } from './protocol/codes.js'
