import { REALTIME_ERR_EVENT, REALTIME_ERR_PRESENCE_OFF } from '../errors/misuse.js'
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
  return takenOf(outgoing(member!, data, true, 'member data', pattern.source), pattern.source)
}

/**
 * Gives member data as JSON carries it, apart from what the application has: an adapter keeps it for as long as the
 * member is there, and finds a change by comparing it with the next.
 *
 * @throws REALTIME_ERR_EVENT for what JSON cannot express
 */
export function takenOf (data: unknown, room: string): unknown {
  try {
    const text = JSON.stringify(data) as string | undefined
    return text === undefined ? undefined : JSON.parse(text) as unknown
  } catch (error) {
    throw new REALTIME_ERR_EVENT(
      `member data of "${room}" is no JSON value: ${error instanceof Error ? error.message : String(error)}`
    )
  }
}
