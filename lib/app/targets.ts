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

/** Or those of a token. */
export type MeantOrToken = Meant & { readonly tokenId?: string | undefined }

/** Where connections are found. */
export interface Places {
  readonly connections: Peers
  readonly hub: Pick<Hub, 'get'>
}

/**
 * Returns the connections of this node that are meant now. Those in a room are found one by one, in the turns of the
 * caller.
 */
export function peersOf (
  { connections, hub }: Places,
  { user, tokenId, connection, of }: MeantOrToken
): Iterable<Peer> {
  if (tokenId !== undefined) return connections.ofToken(tokenId)
  if (user !== undefined) return connections.ofUser(user)
  if (of !== undefined) return found(connections, hub.get(of)?.members.slice() ?? [])
  const peer = connections.get(connection ?? '')
  return peer === undefined ? [] : [peer]
}

/** Also who has left the room when its turn comes: another call may have taken it out, which was made later. */
function * found (
  connections: Peers,
  members: ReadonlyArray<{ readonly member: { readonly id: string } }>
): Generator<Peer> {
  for (const { member } of members) {
    const peer = connections.get(member.id)
    if (peer !== undefined) yield peer
  }
}

/**
 * Returns when a token can no longer be used, in Unix milliseconds; `undefined` where no connection of this node tells.
 */
export function endOfToken ({ connections }: Places, { tokenId }: MeantOrToken): number | undefined {
  if (tokenId === undefined) return undefined
  const exp = connections.ofToken(tokenId).reduce((latest, { identity }) => Math.max(latest, identity.exp ?? 0), 0)
  return exp > 0 ? exp * 1_000 + DEFAULTS.tolerance : undefined
}

/**
 * Returns the subject under which a denial is kept; `undefined` for a connection and the members of a room, which are
 * closed and not denied.
 */
export function subjectOf ({ user, tokenId }: MeantOrToken): string | undefined {
  return user !== undefined ? keyOfKind('user', user) : tokenId !== undefined ? keyOfKind('token', tokenId) : undefined
}
