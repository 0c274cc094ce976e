'use client'

export {
  RealtimeProvider, useClient, useConnection, useEvent, useLatest, usePresence, useRoom, useRoomEffect, useStream
} from './hooks.js'
export type { ConnectionView, MaybeAddress, RoomOptions, RoomStatus, RoomView, StreamView } from '../views/types.js'
