import type { Core, Part } from '../part.js'
import type { Room, RoomHost } from '../room-types.js'

/** Makes a part of the client that puts something around the functions of each room. */
export function eachRoom (equip: (room: Room, host: RoomHost, core: Core) => void): Part {
  return (core) => {
    const { createRoom } = core
    core.createRoom = (name, options, host) => {
      const room = createRoom(name, options, host)
      equip(room, host, core)
      return room
    }
  }
}
