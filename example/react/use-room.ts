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

function createStore<M extends AnyMessages, E, D> (
  client: Client,
  address: Address<M, E, D>,
  last: number
): Store<M, E, D> {
  const listeners = new Set<() => void>()
  let room: ClientRoom<M, E, D> | undefined
  let undo: Array<() => void> = []
  let state: RoomState<E, D> = { events: [], members: [], error: undefined, isStale: false }
  const change = (more: Partial<RoomState<E, D>>): void => {
    state = { ...state, ...more }
    for (const changed of listeners) changed()
  }
  const join = (): ClientRoom<M, E, D> => {
    room ??= client.join(address, { last })
    return room
  }
  const start = (): void => {
    const mine = join()
    state = { events: [], members: [...mine.members.values()], error: undefined, isStale: false }
    undo = [
      mine.on('*', (event) => { change({ events: [...state.events, event].slice(-last) }) }),
      mine.on('presence', () => { change({ members: [...mine.members.values()] }) }),
      client.on('gap', ({ room }) => { if (room === address.name) change({ isStale: true }) })
    ]
    // What the hook itself leaves is no error.
    mine.joined.catch((error: Error) => { if (room === mine) change({ error }) })
  }
  const stop = (): void => {
    for (const off of undo) off()
    const mine = room
    room = undefined
    void mine?.leave()
  }
  return {
    room: join,
    snapshot: () => state,
    subscribe (changed) {
      // A function of its own: two components may pass the same.
      const listener = (): void => { changed() }
      if (listeners.size === 0) start()
      listeners.add(listener)
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) stop()
      }
    }
  }
}

const stores = new WeakMap<Client, Map<string, unknown>>()

/** One for each client and room: the last component that uses it leaves the room. */
function storeOf<M extends AnyMessages, E, D> (
  client: Client,
  address: Address<M, E, D>,
  last: number
): Store<M, E, D> {
  const mine = stores.get(client) ?? new Map<string, unknown>()
  stores.set(client, mine)
  const key = `${last} ${address.name}`
  const store = mine.get(key) as Store<M, E, D> | undefined ?? createStore(client, address, last)
  mine.set(key, store)
  return store
}

/**
 * A room for as long as a component that uses it is mounted. The client itself outlives components: `connect()` once,
 * beside them.
 *
 * ```tsx
 * const { events, members, send } = useRoom(client, chat.at({ id: '42' }))
 * ```
 *
 * @param last events that are kept, and asked for at the first join; default 50; the same in all components of a room
 */
export function useRoom<M extends AnyMessages, E, D> (
  client: Client,
  address: Address<M, E, D>,
  last = 50
): RoomState<E, D> & { readonly send: ClientRoom<M, E, D>['send'] } {
  // By its name: `at()` makes a new address at each render.
  const store = useMemo(() => storeOf(client, address, last), [client, address.name, last])
  const state = useSyncExternalStore(store.subscribe, store.snapshot, store.snapshot)
  return { ...state, send: async (...message) => await store.room().send(...message) }
}

/** The state of the connection, for a banner that says when there is none. */
export function useConnection (client: Client): Client['state'] {
  return useSyncExternalStore((changed) => client.on('state', changed), () => client.state, () => 'connecting')
}
