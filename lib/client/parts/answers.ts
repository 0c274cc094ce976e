import type { ClientAnswer } from '../../protocol/frames.js'
import type { Refused } from '../errors.js'
import type { Part } from '../part.js'
import { eachRoom } from './each-room.js'

/**
 * Tells the server what it asks for: that an event was handled, and the answer to `app.rooms.request`, which is what a
 * listener returns.
 */
export const answers: Part = (core) => {
  const { host, line } = core
  const { frame } = host
  const send = (id: string | undefined, answer?: ClientAnswer): void => { line.send({ type: 'ack', id, ...answer }) }
  host.frame = (each) => {
    const { type, id, room, data } = each
    // An answer that could not be posted: the server would wait for it until the question is too old.
    if (type === 'error' && !room && data!.code === 'message_too_large') send(id, { error: data as Refused })
    else frame(each)
  }
  // What holds the link for all tabs has no listeners: the tabs answer.
  if (core.isHub) return
  eachRoom((room) => {
    const { frame } = room
    room.frame = (each) => {
      const { type, data, timestamp, ack, reply } = each
      if (!reply) {
        const calls = frame(each)
        if (calls && ack) {
          void Promise.allSettled(calls).then((all) => {
            send(ack)
            for (const { reason } of all as PromiseRejectedResult[]) if (reason) void Promise.reject(reason)
          })
        }
        return
      }
      const calls = room.emit({ type, data, timestamp }, type, '-')
      // Another tab may listen.
      if (line.isShared && !calls.length) return
      Promise.any(calls).then(
        (data) => { send(ack, { data }) }
      ).catch((error) => {
        const { code, message } = error.errors?.[0] ?? error
        send(ack, { error: { code, message } })
      })
    }
  })(core)
}
