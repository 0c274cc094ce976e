import { failure, refused } from '../client/errors.js'
import type { AnyRoom } from '../client/room-types.js'
import type { CoreClient, RealtimeError } from '../client/types.js'
import { heldRoom, holdRoom, JOINING, NONE, type HeldRoom, type MaybeName } from './held-room.js'
import type { ConnectionView, Source } from './types.js'

const UNCONNECTED: ConnectionView = { state: 'connecting', transport: 'websocket' }

/** What components show of a room. */
type Kind = Exclude<keyof HeldRoom, 'join' | 'add'>

/** What is shown of a room before anything is known, and on a server. */
const BLANK: Partial<{ readonly [K in Kind]: ReturnType<HeldRoom[K]> }> = {
  status: JOINING,
  events: NONE,
  members: NONE,
  values: new Map(),
  text: {}
}

/** Something of a room. @param keys says which, where there are several */
export function sourceOf<K extends Kind> (
  client: CoreClient, name: MaybeName, kind: K, ...keys: Parameters<HeldRoom[K]>
): Source<ReturnType<HeldRoom[K]>> {
  const blank = BLANK[kind] as ReturnType<HeldRoom[K]>
  // That these keys are those of this kind is known where they are given.
  type AnyHeld = Record<Kind, (...keys: unknown[]) => never>
  return {
    blank,
    read: () => (heldRoom(client, name) as AnyHeld | undefined)?.[kind](...keys) ?? blank,
    watch: (changed) => holdRoom(client, name, changed)
  }
}

/** What a component can do in a room, mounted or not: the room is used until the answer is here. */
export function actionsOf (client: CoreClient, nameNow: () => MaybeName): Pick<AnyRoom, 'send' | 'presence'> {
  const inside = (method: 'send' | 'presence') => async (...given: never): Promise<unknown> => {
    const name = nameNow()
    if (!name) throw failure(refused('not_joined', 'no room yet'))
    const off = holdRoom(client, name, () => {})
    try {
      const room = await heldRoom(client, name)!.join()
      return await (room[method] as (...given: never) => Promise<unknown>)(...given)
    } finally {
      off()
    }
  }
  // The types are those of the room's own methods, which are called.
  return { send: inside('send'), presence: inside('presence') } as never
}

/** The connection of a client. */
export function connectionSource (client: CoreClient): Source<ConnectionView> {
  let error: RealtimeError | undefined
  let view = UNCONNECTED
  return {
    blank: UNCONNECTED,
    read () {
      const { state, transport, userId } = client
      if (state === 'open') error = undefined
      if (state !== view.state || transport !== view.transport || error !== view.error) {
        view = { state, transport, userId, error }
      }
      return view
    },
    watch (changed) {
      const offs = [client.on('state', changed), client.on('error', (latest) => {
        if (!latest.room) {
          error = latest
          changed()
        }
      })]
      return () => { offs.forEach((off) => { off() }) }
    }
  }
}
