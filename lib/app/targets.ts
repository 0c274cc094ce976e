import type { Peer, Peers } from '../admission/peer.js'
import { REALTIME_ERR_TARGET } from '../errors/misuse.js'
import { keyOfKind } from '../protocol/key.js'
import type { Target } from '../types/rooms.js'

/** Connections of one user or token that one turn of the event loop removes from a room or ends. */
export const AT_ONCE = 20
/** Connections that one turn puts into a room: each may be announced to all members. */
export const JOINED_AT_ONCE = 5

/**
 * Returns the connections of a target that are on this node.
 *
 * @throws REALTIME_ERR_TARGET
 */
export function peersOf (connections: Peers, target: Target): Peer[] {
  if ('user' in target && typeof target.user === 'string') return connections.ofUser(target.user)
  if ('connection' in target && typeof target.connection === 'string') {
    const peer = connections.get(target.connection)
    return peer === undefined ? [] : [peer]
  }
  throw new REALTIME_ERR_TARGET('a target is { user: id } or { connection: id }')
}

/** Returns the subject under which a denial is kept; `undefined` for a connection, which is closed and not denied. */
export function subjectOf ({ user, tokenId }: {
  readonly user?: string
  readonly tokenId?: string
  readonly connection?: string
}): string | undefined {
  return user !== undefined ? keyOfKind('user', user) : tokenId !== undefined ? keyOfKind('token', tokenId) : undefined
}
