import type { Connection, ConnectionHost } from '../connection/connection.js'
import type { Connections } from '../connection/connections.js'
import type { Membership } from '../rooms/membership.js'

/** A connection and the rooms that it is in: the one file that names both types, for those who decide about both. */
export type Peer = Connection<Membership>
/** All connections of this node. */
export type Peers = Connections<Membership>
/** What connections are handed from outside. */
export type PeerHost = ConnectionHost<Membership>
