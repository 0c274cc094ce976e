export { connect } from './connect.js'
export type {
  Client, ClientRoom, ConnectOptions, JoinOptions, Loaded, Member, NamedMessages, NamedRoom, RealtimeError, RoomEvent,
  SendOptions, Transport
} from './types.js'
export type { RoomState } from '../contract/types.js'
export type { ListenOptions } from './listeners.js'
