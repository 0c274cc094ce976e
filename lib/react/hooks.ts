import {
  createContext, createElement, useContext, useEffect, useInsertionEffect, useMemo, useRef, useSyncExternalStore,
  type ReactElement, type ReactNode
} from 'react'
import { failure, refused } from '../client/errors.js'
import type { CoreClient, CoreRoom, Member, RoomEvent } from '../client/types.js'
import type { AnyMessages, GrowingName, Made } from '../contract/types.js'
import { actionsOf, connectionSource, sourceOf } from '../views/sources.js'
import type { ConnectionView, MaybeAddress, RoomOptions, RoomView, Source, StreamView } from '../views/types.js'

/** The types of an address are for the caller: nothing of them exists at run time. */
type AnyMaybeAddress = MaybeAddress<never, unknown, unknown>

const ClientContext = createContext<CoreClient | undefined>(undefined)

/**
 * Gives a client to the hooks of all components inside. The client outlives components: it is made once by `connect()`,
 * in a module of its own.
 */
export function RealtimeProvider ({ client, children }: {
  /** The client, as `connect()` returned it: that of `fastify-realtime/client`, or of `/client/core`. */
  readonly client: CoreClient
  /** What may use the hooks. */
  readonly children?: ReactNode
}): ReactElement {
  return createElement(ClientContext.Provider, { value: client }, children)
}

/**
 * The client of the `RealtimeProvider` above.
 *
 * @throws an error of code `REALTIME_ERR_PROVIDER` where there is none
 */
export function useClient (): CoreClient {
  const client = useContext(ClientContext)
  if (!client) throw failure(refused('REALTIME_ERR_PROVIDER', 'no <RealtimeProvider client={client}> above'))
  return client
}

/** Shows what `make` makes of the client, a room's name and what else is given. */
function useSource<T, Rest extends readonly unknown[]> (
  make: (client: CoreClient, name: string | undefined, ...rest: Rest) => Source<T>,
  address: AnyMaybeAddress,
  ...rest: Rest
): T {
  const client = useClient()
  const name = address?.name
  const { watch, read, blank } = useMemo(() => make(client, name, ...rest), [client, name, ...rest])
  return useSyncExternalStore(watch, read, () => blank)
}

/**
 * A room for as long as components that use it are mounted. All of them have it together: the first one joins it, and
 * 250 ms after the last one is gone it is left.
 *
 * ```tsx
 * const { events, send } = useRoom(chat.at({ id }), { last: 50, events: ['said'] })
 * ```
 *
 * @param address what `at()` returns, which may be a new object at each render; `null` while there is none
 */
export function useRoom<M extends AnyMessages, E, D, K extends keyof E & string = keyof E & string> (
  address: MaybeAddress<M, E, D>, { last, events, since }: RoomOptions<K> = {}
): RoomView<M, E, D, K> {
  const client = useClient()
  const name = address?.name ?? ''
  const status = useSource(sourceOf<'status'>, address as AnyMaybeAddress, 'status')
  const shown = useSource(
    sourceOf<'events'>, address as AnyMaybeAddress, 'events', last, events?.join(), JSON.stringify(since)
  )
  // All components that ask for these events have them together, also one that asks for less.
  const recent = useMemo(() => shown.slice(-(last ?? 0)), [shown, last])
  const actions = useMemo(() => actionsOf(client, () => name), [client, name])
  // The types are those of the address: nothing of them exists at run time.
  return { name, ...status, ...(!name && { status: 'idle' }), events: recent, ...actions } as never
}

/** Calls the function of the last render with the room, or with each of its events of a name where one is given. */
function useAttached (address: AnyMaybeAddress, given: (given: never) => unknown, event?: string): void {
  const room = useSource(sourceOf<'room'>, address, 'room')
  const present = useRef(given)
  useInsertionEffect(() => { present.current = given })
  useEffect(() => {
    // What a function is given is typed where it is given.
    const call = (each: unknown): unknown => present.current(each as never)
    return room && (event ? room.on(event, call) : call(room) as () => void)
  }, [room, event])
}

/**
 * Calls a function for each event of a room, for as long as the component is mounted: always that of the last render,
 * so that it sees what is so now. What it returns is waited for before an acknowledged event is acknowledged.
 *
 * @param event the name of the event, or `*` for all
 */
export function useEvent<M extends AnyMessages, E, D, K extends keyof E & string> (
  address: MaybeAddress<M, E, D>, event: K | '*', listener: (event: RoomEvent<Pick<E, K>>) => unknown
): void {
  useAttached(address as AnyMaybeAddress, listener, event)
}

/**
 * Does something with a room itself, once for as long as the component is mounted. What the function returns is called
 * at the end.
 *
 * ```tsx
 * useRoomEffect(board.at({ id }), (room) => { void snapshot(room, load) })
 * ```
 *
 * @param effect given the room that all components have together: it is left for them, not by the function
 */
export function useRoomEffect<M extends AnyMessages, E, D> (
  address: MaybeAddress<M, E, D>, effect: (room: CoreRoom<M, E, D>) => (() => void) | void
): void {
  useAttached(address as AnyMaybeAddress, effect)
}

/** The members of a room, in the order in which they came: empty until it is joined, and above 200 members. */
export function usePresence<M extends AnyMessages, E, D> (
  address: MaybeAddress<M, E, D>
): ReadonlyArray<Member<D>> {
  // The types are those of the address: nothing of them exists at run time.
  return useSource(sourceOf<'members'>, address as AnyMaybeAddress, 'members') as never
}

/** The newest value of each key of a `latest` event, by the text of the key. */
export function useLatest<M extends AnyMessages, E, D, K extends keyof E & string> (
  address: MaybeAddress<M, E, D>, event: K
): ReadonlyMap<string, Made<E[K]>>
/** The newest value of one key of a `latest` event, `undefined` while there is none: no other key makes it render. */
export function useLatest<M extends AnyMessages, E, D, K extends keyof E & string> (
  address: MaybeAddress<M, E, D>, event: K, key: string | number
): Made<E[K]> | undefined
export function useLatest (
  address: MaybeAddress<AnyMessages, unknown, unknown>, event: string, key?: string | number
): unknown {
  return useSource(sourceOf<'value' | 'values'>, address as AnyMaybeAddress, key === undefined ? 'values' : 'value', event, key)
}

/**
 * A text of an `append` event, as it is so far.
 *
 * @param key the value of the event's key; `null` while there is none
 */
export function useStream<M extends AnyMessages, E, D, K extends GrowingName<E>> (
  address: MaybeAddress<M, E, D>, event: K, key: string | number | null | undefined
): StreamView<E[K]> {
  // The types are those of the address: nothing of them exists at run time.
  return useSource(sourceOf<'text'>, address as AnyMaybeAddress, 'text', event, key) as never
}

/** The connection: its state, and why there is none. */
export function useConnection (): ConnectionView {
  return useSource(connectionSource, null)
}
