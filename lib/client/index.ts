export { connect } from './client.js'
export type { Client, ClientRoom, ConnectOptions, Member, RealtimeError, RoomEvent } from './types.js'
