import { listeners } from './listeners.js'
import type { AnyRoom, Entered, Handle, Room, RoomHost } from './room-types.js'

/** Behind what the application is given. */
const handles = new WeakMap<object, Handle>()

/** @returns the handle behind what `join` has returned */
export function handleOf (room: object): Handle { return handles.get(room)! }

/** @param signal leaves the room; a handle that is over keeps no listener on it */
export function createHandle (room: Room, host: RoomHost, signal?: AbortSignal): Handle {
  const { on, emit, end } = listeners()
  let enter: (entered: Entered) => void
  let reject: (error: Error) => void
  const joined = new Promise<Entered>((...settle) => { [enter, reject] = settle })
  // The reason is also reported as `error`, so a caller that does not wait for `joined` must not lose its Node process
  // by an unhandled rejection.
  joined.catch(() => {})
  const leave = (): Promise<void> => host.leave(handle)
  const handle: Handle = {
    room,
    host,
    on,
    emit,
    enter: enter!,
    public: {
      name: room.name,
      joined,
      members: room.members,
      state: room.state,
      on,
      presence: (...given) => host.send(handle, 'presence', ...given),
      send: (...given) => host.send(handle, ...given),
      leave
    } as AnyRoom,
    close (error, isMeant) {
      handle.end = error
      handle.isMeant = isMeant
      reject(error)
      signal?.removeEventListener('abort', leave)
      emit(error, '')
      end()
    }
  }
  room.handles.add(handle)
  handles.set(handle.public, handle)
  signal?.addEventListener('abort', leave)
  if (signal?.aborted) void leave()
  return handle
}
