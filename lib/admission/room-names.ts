import { isRoomName } from '../contract/names.js'
import { Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import { RESERVED_SEGMENTS } from '../rooms/declaration.js'
import type { Kind, Query } from './query.js'

const STREAM = 'a stream, a poll or a POST names no more rooms, and no option raises it: use WebSocket, or another connection'

/**
 * Returns the names of the rooms that a request asks for, each once: that of its path, then those of its query.
 *
 * @param path the room of the URL as it stood there, undecoded; empty for the bare prefix
 * @param limit rooms of one connection; a stream, a poll or a POST takes no more than a stream does, and a verdict as
 *   many as the WebSocket of which it tells
 * @throws Refusal `room_invalid` or `room_limit`
 */
export function roomNamesOf (path: string, { room }: Query, kind: Kind, limit: number): readonly string[] {
  if (room === undefined) {
    if (path !== '') checkName(path)
    return path === '' ? [] : [path]
  }
  const names = askedNames(path, room)
  for (const name of names) checkName(name)
  const most = kind === 'websocket' || kind === 'verdict' ? limit : Math.min(DEFAULTS.streamRooms, limit)
  if (names.size > most) {
    throw new Refusal('room_limit', {
      message: `at most ${most} rooms on one connection of this kind`,
      why: most === limit
        ? { limit: 'limits.rooms', value: most, asked: names.size }
        : { value: most, asked: names.size, fix: STREAM }
    })
  }
  return [...names]
}

/** The names of a request as they stand there, unchecked. */
export function askedNames (path: string, room: unknown): Set<string> {
  const names = new Set<string>()
  if (path !== '') names.add(path)
  if (room === undefined) return names
  for (const name of Array.isArray(room) ? room as unknown[] : [room]) names.add(String(name))
  return names
}

/** @throws Refusal `room_invalid` */
function checkName (name: string): void {
  const end = name.indexOf('/')
  const first = end === -1 ? name : name.slice(0, end)
  if (!isRoomName(name) || RESERVED_SEGMENTS.has(first.toLowerCase())) {
    throw new Refusal('room_invalid', { room: printable(name) })
  }
}

function printable (name: string): string {
  return name.slice(0, 255)
}
