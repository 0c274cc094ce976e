import type { Peer, Peers } from '../admission/peer.js'
import { DEFAULTS } from '../options/defaults.js'
import type { Hub } from '../rooms/hub.js'
import { keyOfKind } from '../protocol/key.js'

/** Connections of one user or token that one turn of the event loop removes from a room or ends. */
export const AT_ONCE = 20
/** Connections that one turn puts into a room: each may be announced to all members. */
export const JOINED_AT_ONCE = 5

/** Who is meant: a connection, all those of a user, or all those in the room `of`. One of the three is there. */
export interface Meant {
  readonly user?: string
  readonly connection?: string
  readonly of?: string
}

/** Where connections are found. */
export interface Places {
  readonly connections: Peers
  readonly hub: Pick<Hub, 'get'>
}

/**
 * Returns the connections of this node that are meant. Those in a room are found one by one, in the turns of the
 * caller.
 */
export function peersOf ({ connections, hub }: Places, { user, connection, of }: Meant): Iterable<Peer> {
  if (user !== undefined) return connections.ofUser(user)
  if (of !== undefined) return membersOf(connections, hub, of)
  const peer = connections.get(connection ?? '')
  return peer === undefined ? [] : [peer]
}

/** Those who are in the room now, and still when their turn has come. */
function * membersOf (connections: Peers, hub: Pick<Hub, 'get'>, name: string): Generator<Peer> {
  for (const { member } of hub.get(name)?.members.slice() ?? []) {
    const peer = connections.get(member.id)
    if (peer?.rooms.get(name) !== undefined) yield peer
  }
}

/**
 * Returns when the token of connections could no longer be used, in Unix milliseconds; `undefined` where that is not
 * known.
 */
export function endOfToken (peers: readonly Peer[]): number | undefined {
  const exp = peers.reduce((latest, { identity }) => Math.max(latest, identity.exp ?? 0), 0)
  return exp > 0 ? exp * 1_000 + DEFAULTS.tolerance : undefined
}

/**
 * Returns the subject under which a denial is kept; `undefined` for a connection and the members of a room, which are
 * closed and not denied.
 */
export function subjectOf ({ user, tokenId }: Meant & { readonly tokenId?: string | undefined }): string | undefined {
  return user !== undefined ? keyOfKind('user', user) : tokenId !== undefined ? keyOfKind('token', tokenId) : undefined
}
