import { REALTIME_ERR_PRESENCE_OFF } from '../errors/misuse.js'
import type { Declaration } from './declaration.js'
import { outgoing } from './fitting.js'

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
  return outgoing(member!, data, true, 'member data', pattern.source)
}
