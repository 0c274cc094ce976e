import { reader } from './event-iterator.js'
import { listeners } from './listeners.js'
import type { Entered, Handle, Room, RoomHost } from './room-types.js'
import type { NamedRoom, RoomEvent, SendOptions } from './types.js'

/** @param signal leaves the room; a handle that is over keeps no listener on it */
export function createHandle (room: Room, host: RoomHost, signal?: AbortSignal): Handle {
  const { on, emit, end } = listeners()
  let resolve: (entered: Entered) => void
  let reject: (error: Error) => void
  const joined = new Promise<Entered>((_resolve, _reject) => {
    resolve = _resolve
    reject = _reject
  })
  // The reason is also reported as `error`, so a caller that does not wait for `joined` must not lose its Node process
  // by an unhandled rejection.
  joined.catch(() => {})
  const send = (type: string, data: unknown, options?: SendOptions): Promise<unknown> =>
    host.send(handle, type, data, options)
  const leave = (): Promise<void> => host.leave(handle)
  const { name, members, state, texts } = room
  const handle: Handle = {
    room,
    emit,
    enter: resolve!,
    public: {
      name,
      joined,
      members,
      state,
      on,
      presence: (data: unknown, options?: SendOptions) => send('presence', data, options),
      send,
      leave,
      stream: (event: string, key: string | number) => texts.parts(event, `${key}`, on, handle),
      [Symbol.asyncIterator]: () => reader<RoomEvent<Record<string, unknown>>>(on, handle)
    } as NamedRoom,
    close (error, isMeant) {
      handle.end = error
      handle.isMeant = isMeant
      reject(error)
      signal?.removeEventListener('abort', leave)
      void emit(error, '')
      end()
    }
  }
  room.handles.add(handle)
  signal?.addEventListener('abort', leave)
  if (signal?.aborted) void leave()
  return handle
}
