import type { ClientAnswer } from '../../protocol/frames.js'
import type { Part } from '../part.js'
import { eachRoom } from './each-room.js'

/**
 * Tells the server what it asks for: that an event was handled, and the answer to `app.rooms.request`, which is what a
 * listener returns.
 */
export const answers: Part = (core) => {
  const send = (id: string | undefined, answer?: ClientAnswer): void => { core.line.send({ type: 'ack', id, ...answer }) }
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
      Promise.any(room.emit({ type, data, timestamp }, type, '-')).then(
        (data) => { send(ack, { data }) }
      ).catch((error) => {
        const { code, message } = error.errors?.[0] ?? error
        send(ack, { error: { code, message } })
      })
    }
  })(core)
}
