import type { Waiting } from '../auth/revocations.js'
import type { Connection, ConnectionHost } from '../connection/connection.js'
import type { Connections } from '../connection/connections.js'
import type { Membership } from '../rooms/membership.js'

/** A connection and the rooms that it is in. Only this type knows both; it is for code that decides about both. */
export type Peer = Connection<Membership>
/** All connections of this node. */
export type Peers = Connections<Membership>
/** What connections get from outside. */
export type PeerHost = ConnectionHost<Membership>

/** Names a connection to the revocations. */
export function whoIs ({ userId, id, identity: { tokenId }, rooms }: Peer): Waiting {
  return { userId, tokenId, connection: id, rooms }
}
