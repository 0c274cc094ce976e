import type { RoomHost, Handle, Room } from './room-types.js'
import { bucket } from './token-bucket.js'
import type { FrameData } from './links/link.js'
import type { Position } from '../protocol/position.js'

export function createRoom (
  name: string,
  { since, last }: { since?: Position | undefined, last?: number | undefined },
  host: RoomHost
): Room {
  const handles = new Set<Handle>()
  const room: Room = {
    name,
    members: new Map(),
    state: new Map(),
    handles,
    last,
    position: since,
    until: 0,
    attempt: 0,
    sendAt: [],
    entered: {},
    emit: (...given) => [...handles].flatMap((handle) => handle.emit(...given)),
    gap () {
      host.say({ room: name, code: 'gap' }, 'gap')
      room.emit({}, 'gap')
    },
    enter (entered) {
      const { epoch, offset, resumed, rate, growing } = room.entered = entered
      const isNew = !room.isIn
      // A room without history answers each poll that nothing was resumed, so only a room with an epoch has lost
      // events.
      const isLost = resumed === false ? isNew || epoch : isNew && room.wasIn && !resumed
      // Each answer of a poll says the terms again, and does not fill the bucket.
      if (isNew) room.take = rate && bucket(rate)
      room.isIn = room.isAsked = room.wasIn = true
      room.attempt = 0
      room.last = undefined
      if (epoch) room.position = { epoch, offset: offset! }
      if (isLost) room.gap(true)
      for (const handle of handles) handle.enter({ ...resumed !== undefined && { resumed }, ...growing && { growing } })
    },
    out () {
      room.isIn = room.isAsked = false
    },
    frame ({ type, data, offset, timestamp }) {
      const { position } = room
      if (type === 'gap') {
        const { epoch, from, to } = data as FrameData
        // The client is already past the gap, and a smaller position would deliver events twice.
        if (epoch === position?.epoch && to! < position!.offset) return
        room.position = { epoch: epoch!, offset: to! }
        if (from !== to) room.gap()
      // What is no event has no time; some of it only a part knows.
      } else if (timestamp && !(offset! <= position?.offset!)) {
        // No event has the offset 0, which an empty room has.
        if (offset && position) room.position = { ...position, offset }
        return room.emit({ type, data, timestamp, ...offset && { offset } }, type, '*')
      }
    }
  }
  return room
}
