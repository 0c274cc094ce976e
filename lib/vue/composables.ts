import {
  computed, inject, provide, shallowRef, toValue, watch, watchPostEffect,
  type App, type MaybeRefOrGetter, type Ref
} from 'vue'
import type { AnyRoom } from '../client/room-types.js'
import { failure, refused } from '../client/errors.js'
import type { CoreClient, CoreRoom, Member, RoomEvent } from '../client/types.js'
import type { AnyMessages, GrowingName, Made } from '../contract/types.js'
import { actionsOf, connectionSource, sourceOf } from '../views/sources.js'
import type { ConnectionView, RoomOptions, Source, StreamView } from '../views/types.js'
import type { AddressSource, RoomRefs } from './types.js'

/** The same in two copies of this module, such as those of an app and of a library that it uses. */
const KEY = Symbol.for('fastify-realtime')

/**
 * Gives a client to the composables of all components of an app: `app.use(realtimePlugin, client)`. The client is made
 * once by `connect()`, in a module of its own.
 */
export const realtimePlugin = {
  /** Called by `app.use`. */
  install (app: App, client: CoreClient): void { app.provide(KEY, client) }
}

/** Gives a client to the composables of all components below this one; called in its `setup`. */
export function provideRealtime (client: CoreClient): void { provide(KEY, client) }

/**
 * The client of the app, or of the nearest component above that provides one.
 *
 * @throws an error of code `REALTIME_ERR_PROVIDER` where there is none
 */
export function useClient (): CoreClient {
  const client = inject<CoreClient>(KEY)
  if (!client) throw failure(refused('REALTIME_ERR_PROVIDER', 'app.use(realtimePlugin, connect(...)) comes first'))
  return client
}

/** The types of an address are for the caller: nothing of them exists at run time. */
type AnyAddressSource = AddressSource<never, unknown, unknown>

/** Shows what `make` makes of the client, a room's name and what else is given. */
function useSource<T, Rest extends readonly unknown[]> (
  make: (client: CoreClient, name: string | undefined, ...rest: Rest) => Source<T>,
  address: AnyAddressSource,
  ...rest: { readonly [Index in keyof Rest]: MaybeRefOrGetter<Rest[Index]> }
): Readonly<Ref<T>> {
  const client = useClient()
  // Each of the rest is what its ref or getter gives.
  const source = computed(() => make(client, toValue(address)?.name, ...rest.map(toValue) as never))
  // What the server has rendered, too: the page may not begin with anything else.
  const value = shallowRef(source.value.blank)
  // After the component is mounted, which no server does.
  watchPostEffect((onCleanup) => {
    const { watch, read } = source.value
    const show = (): void => { value.value = read() }
    onCleanup(watch(show))
    show()
  })
  return value
}

/**
 * A room for as long as components that use it are mounted. All of them have it together: the first one joins it, and
 * 250 ms after the last one is gone it is left.
 *
 * ```ts
 * const { events, send } = useRoom(() => chat.at({ id: props.id }), { last: 50, events: ['said'] })
 * ```
 */
export function useRoom<M extends AnyMessages, E, D, K extends keyof E & string = keyof E & string> (
  address: AddressSource<M, E, D>, options: RoomOptions<K> = {}
): RoomRefs<M, E, D, K> {
  const client = useClient()
  const status = useSource(sourceOf<'status'>, address as AnyAddressSource, 'status')
  // All components that ask for these events have them together, also one that asks for less.
  const shown = useSource(
    sourceOf<'events'>, address as AnyAddressSource, 'events',
    () => options.last, () => options.events?.join(), () => JSON.stringify(options.since)
  )
  return {
    status: computed(() => toValue(address) ? status.value.status : 'idle'),
    error: computed(() => status.value.error),
    gaps: computed(() => status.value.gaps),
    events: computed(() => shown.value.slice(-(options.last ?? 0))),
    ...actionsOf(client, () => toValue(address)?.name)
    // The types are those of the address: nothing of them exists at run time.
  } as never
}

/**
 * Calls a function for each event of a room, for as long as the component is mounted. What it returns is waited for
 * before an acknowledged event is acknowledged.
 *
 * @param event the name of the event, or `*` for all
 */
export function useEvent<M extends AnyMessages, E, D, K extends keyof E & string> (
  address: AddressSource<M, E, D>, event: K | '*', listener: (event: RoomEvent<Pick<E, K>>) => unknown
): void {
  // The types are those of the address: nothing of them exists at run time.
  useRoomEffect(address, (room) => (room as unknown as AnyRoom).on(event, listener as never))
}

/**
 * Does something with a room itself, once for as long as the component is mounted. What the function returns is called
 * at the end.
 *
 * ```ts
 * useRoomEffect(() => board.at({ id: props.id }), (room) => { void snapshot(room, load) })
 * ```
 *
 * @param effect given the room that all components have together: it is left for them, not by the function
 */
export function useRoomEffect<M extends AnyMessages, E, D> (
  address: AddressSource<M, E, D>, effect: (room: CoreRoom<M, E, D>) => (() => void) | void
): void {
  const room = useSource(sourceOf<'room'>, address as AnyAddressSource, 'room')
  watch(room, (now, _former, onCleanup) => {
    // The types are those of the address: nothing of them exists at run time.
    const end = now && effect(now as never)
    if (end) onCleanup(end)
  })
}

/** The members of a room, in the order in which they came: empty until it is joined, and above 200 members. */
export function usePresence<M extends AnyMessages, E, D> (
  address: AddressSource<M, E, D>
): Readonly<Ref<ReadonlyArray<Member<D>>>> {
  // The types are those of the address: nothing of them exists at run time.
  return useSource(sourceOf<'members'>, address as AnyAddressSource, 'members') as never
}

/** The newest value of each key of a `latest` event, by the text of the key. */
export function useLatest<M extends AnyMessages, E, D, K extends keyof E & string> (
  address: AddressSource<M, E, D>, event: K
): Readonly<Ref<ReadonlyMap<string, Made<E[K]>>>>
/** The newest value of one key of a `latest` event, `undefined` while there is none: no other key makes it render. */
export function useLatest<M extends AnyMessages, E, D, K extends keyof E & string> (
  address: AddressSource<M, E, D>, event: K, key: MaybeRefOrGetter<string | number>
): Readonly<Ref<Made<E[K]> | undefined>>
export function useLatest (
  address: AddressSource<AnyMessages, unknown, unknown>, event: string, key?: MaybeRefOrGetter<string | number>
): Readonly<Ref<unknown>> {
  return useSource(sourceOf<'value' | 'values'>, address as AnyAddressSource, key === undefined ? 'values' : 'value', event, key)
}

/**
 * A text of an `append` event, as it is so far.
 *
 * @param key the value of the event's key, also as a ref or a getter; `null` while there is none
 */
export function useStream<M extends AnyMessages, E, D, K extends GrowingName<E>> (
  address: AddressSource<M, E, D>, event: K, key: MaybeRefOrGetter<string | number | null | undefined>
): Readonly<Ref<StreamView<E[K]>>> {
  // The types are those of the address: nothing of them exists at run time.
  return useSource(sourceOf<'text'>, address as AnyAddressSource, 'text', event, key) as never
}

/** The connection: its state, and why there is none. */
export function useConnection (): Readonly<Ref<ConnectionView>> {
  return useSource(connectionSource, null)
}
