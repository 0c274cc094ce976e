import { useMemo, useSyncExternalStore } from 'react'
import type { Client, ClientRoom, Member, RoomEvent } from 'fastify-realtime/client'
import type { Address, AnyMessages } from 'fastify-realtime/contract'

/** What a component sees of a room; a new object at each change, and the same one in between. */
export interface RoomState<E, D> {
  /** the last events, oldest first */
  readonly events: ReadonlyArray<RoomEvent<E>>
  readonly members: ReadonlyArray<Member<D>>
  /** the room was refused or left, with the reason; or events were lost: load what they would have told */
  readonly error: Error | undefined
  readonly isStale: boolean
}

interface Store<M extends AnyMessages, E, D> {
  readonly room: () => ClientRoom<M, E, D>
  readonly subscribe: (changed: () => void) => () => void
  readonly snapshot: () => RoomState<E, D>
}

function createStore<M extends AnyMessages, E, D> (client: Client, address: Address<M, E, D>, last: number): Store<M, E, D> {
  let room: ClientRoom<M, E, D> | undefined
  let state: RoomState<E, D> = { events: [], members: [], error: undefined, isStale: false }
  const join = (): ClientRoom<M, E, D> => {
    room ??= client.join(address, { last })
    return room
  }
  return {
    room: join,
    snapshot: () => state,
    subscribe (changed) {
      const change = (more: Partial<RoomState<E, D>>): void => {
        state = { ...state, ...more }
        changed()
      }
      const joined = join()
      const undo = [
        joined.on('*', (event) => { change({ events: [...state.events, event].slice(-last) }) }),
        joined.on('presence', () => { change({ members: [...joined.members.values()] }) }),
        client.on('gap', ({ room }) => { if (room === address.name) change({ isStale: true }) })
      ]
      joined.joined.catch((error: Error) => { change({ error }) })
      return () => {
        for (const off of undo) off()
        room = undefined
        void joined.leave()
      }
    }
  }
}

/**
 * A room for as long as the component is mounted. The client itself outlives components: `connect()` once, beside them.
 *
 * ```tsx
 * const { events, members, send } = useRoom(client, chat.at({ id: '42' }))
 * ```
 *
 * @param last events that are kept, and asked for at the first join; default 50
 */
export function useRoom<M extends AnyMessages, E, D> (client: Client, address: Address<M, E, D>, last = 50): RoomState<E, D> & { readonly send: ClientRoom<M, E, D>['send'] } {
  // By its name: `at()` makes a new address at each render.
  const store = useMemo(() => createStore(client, address, last), [client, address.name, last])
  const state = useSyncExternalStore(store.subscribe, store.snapshot, store.snapshot)
  return { ...state, send: async (...message) => await store.room().send(...message) }
}

/** The state of the connection, for a banner that says when there is none. */
export function useConnection (client: Client): Client['state'] {
  return useSyncExternalStore((changed) => client.on('state', changed), () => client.state, () => 'connecting')
}
