import type { Part } from '../part.js'

/**
 * Keeps a room into which the server has put this client as it is, until the application joins it without asking for
 * it, or it ends. Without it the client asks to join such a room like every other.
 */
export const serverJoins: Part = ({ host, shown, line, rooms, roomOf }) => {
  const { frame, down } = host
  /** Forgets a room that the application has not joined. */
  const forget = (name: string): void => { if (!rooms.get(name)?.handles.size) rooms.delete(name) }
  host.frame = (each) => {
    const { type, room } = each
    // Such a membership ends with the answer of a poll, and what holds the link for other tabs has it for them.
    if (type === 'joined' && shown.transport !== 'polling' && !line.isShared) roomOf(room!, {})
    if (type === 'left') forget(room!)
    frame(each)
  }
  host.down = () => {
    rooms.forEach((_, name) => { forget(name) })
    down()
  }
}
