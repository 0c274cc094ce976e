import type { Access } from '../admission/access.js'
import type { Peer } from '../admission/peer.js'
import { isNearly, type LimitWarnings } from '../errors/limit-warnings.js'

export interface RoomLimit {
  readonly access: Access
  readonly limitWarnings: LimitWarnings
  /** Rooms of one connection, besides the built-in ones. */
  readonly roomLimit: number
}

/** Tells of a connection that has nearly as many rooms as it may. */
export function lookAtRooms ({ id, userId, rooms }: Peer, { access, limitWarnings, roomLimit }: RoomLimit): void {
  if (!isNearly(rooms.size, roomLimit)) return
  const used = rooms.size - access.builtIn(userId).length
  limitWarnings.look('limits.rooms', used, roomLimit, { connectionId: id, userId })
}
