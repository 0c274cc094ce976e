export {
  provideRealtime, realtimePlugin, useClient, useConnection, useEvent, useLatest, usePresence, useRoom, useRoomEffect,
  useStream
} from './composables.js'
export type { AddressSource, RoomRefs } from './types.js'
export type { ConnectionView, MaybeAddress, RoomOptions, RoomStatus, RoomView, StreamView } from '../views/types.js'
