import type { Connection } from '../connection/connection.js'
import type { Membership } from '../rooms/room.js'

/** A connection and the rooms that it is in: the one type that knows both, for those who decide about both. */
export type Peer = Connection<Membership>
