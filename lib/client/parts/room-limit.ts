import { refused } from '../errors.js'
import type { Part } from '../part.js'
import { now } from '../timers.js'

/** Rooms that one stream or poll may name. */
const ROOMS = 32

/**
 * Ends rooms beyond the 32 that a stream or poll may carry, while the others go on. Without it the server refuses a
 * client that asks for more.
 */
export const roomLimit: Part = ({ line, host, rooms, end }) => {
  const { query } = host
  host.query = () => {
    const asked = [...rooms.values()].filter(({ until }) => until <= now())
    if (line.isHttp) {
      for (const room of asked.slice(ROOMS)) end(room, refused('room_limit', `at most ${ROOMS} rooms`), false)
    }
    return query()
  }
}
