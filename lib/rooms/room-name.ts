import { REALTIME_ERR_ROOM } from '../errors/misuse.js'

/**
 * Returns the name of a room that is given as a name or as an address.
 *
 * @throws REALTIME_ERR_ROOM for a definition that still needs its params
 */
export function nameOf (room: unknown): string {
  if (typeof room === 'string') return room
  const name = nameIn(room)
  if (typeof name !== 'string') {
    throw new REALTIME_ERR_ROOM('a room is given by its name or by its address, e.g. chat.at({ id: \'42\' })')
  }
  if (name.includes(':') && name.split('/').some((segment) => segment.startsWith(':'))) {
    throw new REALTIME_ERR_ROOM(`"${name}" is a family of rooms; name one of them with .at({ ... })`)
  }
  return name
}

function nameIn (room: unknown): unknown {
  try {
    return (room as { name?: unknown } | null)?.name
  } catch {
    return undefined
  }
}
