import type { ClientAnswer } from '../../protocol/frames.js'
import type { Refused } from '../errors.js'
import type { Part } from '../part.js'
import { eachRoom } from './each-room.js'

/**
 * Tells the server what it asks for: that an event was handled, and the answer to `app.rooms.request`, which is what a
 * listener returns.
 */
export const answers: Part = (core) => {
  const { host, line, rooms } = core
  const { frame } = host
  const send = (id: string | undefined, answer?: ClientAnswer): void => { line.send({ type: 'ack', id, ...answer }) }
  host.frame = (each) => {
    const { type, id, room, data, timestamp, ack, reply } = each
    // An answer that is too large: the server would wait for it until the question is too old.
    if (type === 'error' && !room && data!.code === 'message_too_large') send(id, { error: data as Refused })
    // What holds the link for all tabs has no listeners: the tabs answer.
    else if (!reply || core.isHub) frame(each)
    else {
      Promise.any(rooms.get(room!)?.emit({ type, data, timestamp }, type, '-') ?? []).then(
        (data) => { send(ack, { data }) }
      ).catch((error) => {
        // Where nobody listens, or what was thrown says nothing, the server has words for it.
        const { code, message } = (error.errors ?? [error])[0] ?? {}
        send(ack, { error: { code, message } })
      })
    }
  }
  if (core.isHub) return
  eachRoom((room) => {
    const { frame } = room
    room.frame = (each) => {
      const calls = frame(each)
      if (calls && each.ack && room.handles.size) {
        let left = calls.length
        const done = (): void => { if (!left--) send(each.ack) }
        done()
        // What a listener throws goes on from here, whatever it is, and surfaces.
        for (const call of calls) void call.finally(done)
      }
    }
  })(core)
}
