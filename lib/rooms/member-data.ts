import { REALTIME_ERR_PRESENCE_OFF } from '../errors/misuse.js'
import type { Declaration } from './declaration.js'
import { outgoing, takenOf } from './fitting.js'

/**
 * Checks a change of member data by the application.
 *
 * @returns the data as it is shown
 * @throws REALTIME_ERR_PRESENCE_OFF for a room whose members cannot change it, REALTIME_ERR_EVENT for data that does
 *   not fit the contract
 */
export function checkUpdate ({ canUpdate, member, pattern }: Declaration, data: unknown): unknown {
  if (!canUpdate) {
    throw new REALTIME_ERR_PRESENCE_OFF(
      `member data of "${pattern.source}" cannot be changed; declare the room with presence: { data: ({ user }) => data, update: true }`
    )
  }
  return memberDataOf(outgoing(member!, data, true, 'member data', pattern.source), pattern.source)
}

/**
 * Gives member data as JSON carries it: an adapter keeps it for as long as the member is there, and finds a change by
 * comparing it with the next.
 *
 * @throws REALTIME_ERR_EVENT for what JSON cannot express
 */
export function memberDataOf (data: unknown, room: string): unknown {
  return takenOf(data, `member data of "${room}"`)
}
