import type { FrameData } from '../links/link.js'
import type { Part } from '../part.js'

/**
 * Hears a room into which the server has put this client from the `join` on, without asking for it. Without it the
 * client asks to join such a room like every other.
 */
export const serverJoins: Part = (core) => {
  const { host, shown, rooms, createHandle } = core
  const { frame, down } = host
  /** Rooms into which the server has put this client and that the application has not joined. */
  const given = new Map<string, FrameData>()
  host.frame = (each) => {
    const { type, room, data } = each
    if (type === 'joined' && !rooms.has(room!)) given.set(room!, data!)
    if (type === 'left') given.delete(room!)
    frame(each)
  }
  host.down = () => {
    given.clear()
    down()
  }
  core.createHandle = (room, host, signal) => {
    const handle = createHandle(room, host, signal)
    const data = given.get(room.name)
    given.delete(room.name)
    // Such a membership ends with the answer of a poll.
    if (data && !room.wasIn && shown.transport !== 'polling') room.enter(data)
    return handle
  }
}
