import type { Peer, Peers } from '../admission/peer.js'
import { REALTIME_ERR_TARGET } from '../errors/misuse.js'
import { keyOfKind } from '../protocol/key.js'
import type { Target } from '../types/rooms.js'

/** Connections of one user or token that are taken out of a room or ended in one turn of the event loop. */
export const AT_ONCE = 20
/** The same of those that are put into one: each may be announced to all who are there. */
export const JOINED_AT_ONCE = 5

/** The connections of a target that are on this node. @throws REALTIME_ERR_TARGET */
export function peersOf (connections: Peers, target: Target): Peer[] {
  if ('user' in target && typeof target.user === 'string') return connections.ofUser(target.user)
  if ('connection' in target && typeof target.connection === 'string') {
    const peer = connections.get(target.connection)
    return peer === undefined ? [] : [peer]
  }
  throw new REALTIME_ERR_TARGET('a target is { user: id } or { connection: id }')
}

/** What a denial is kept under; a connection is closed and not kept out. */
export function subjectOf ({ user, tokenId }: {
  readonly user?: string
  readonly tokenId?: string
  readonly connection?: string
}): string | undefined {
  return user !== undefined ? keyOfKind('user', user) : tokenId !== undefined ? keyOfKind('token', tokenId) : undefined
}
