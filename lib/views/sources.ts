import { failure, refused } from '../client/errors.js'
import type { AnyRoom } from '../client/room-types.js'
import type { CoreClient, Member, RealtimeError } from '../client/types.js'
import {
  heldRoom, holdRoom, JOINING, NONE, type HeldRoom, type MaybeName, type Shown, type User
} from './held-room.js'
import type { ConnectionView, RoomOptions, Source, StreamView } from './types.js'

const IDLE: Shown = { ...JOINING, status: 'idle' }
const UNKNOWN: StreamView<never> = {}
const EMPTY: ReadonlyMap<string, unknown> = new Map()
const UNCONNECTED: ConnectionView = { state: 'connecting', transport: 'websocket' }

function sourceOf<T> (
  client: CoreClient, name: MaybeName, blank: T, of: (held: HeldRoom) => T | undefined, user?: User
): Source<T> {
  return {
    blank,
    read () {
      const held = heldRoom(client, name)
      return (held && of(held)) ?? blank
    },
    watch: (changed) => holdRoom(client, name, { ...user, changed })
  }
}

/** What a component asks of a room, as a text that two components share where they ask for the same. */
export function askedOf ({ last, events, since }: RoomOptions<string>): string {
  return JSON.stringify([last, events, since])
}

/** How far a room is, and its newest events. */
export function roomSource (client: CoreClient, name: MaybeName, asked: string): Source<Shown> {
  const [last, names, since] = JSON.parse(asked)
  const list = `${last} ${names}`
  return sourceOf(
    client, name, name ? JOINING : IDLE, ({ lists }) => lists.get(list)?.shown, { list, last, names, since }
  )
}

/** The members of a room. */
export function presenceSource (client: CoreClient, name: MaybeName): Source<ReadonlyArray<Member<unknown>>> {
  return sourceOf(client, name, NONE, ({ members }) => members)
}

/** The values of a `latest` event, or the value of one key. */
export function latestSource (
  client: CoreClient, name: MaybeName, event: string, key?: string | number
): Source<unknown> {
  return sourceOf(client, name, key === undefined ? EMPTY : undefined, (held) => held.latest(event, key))
}

/** A text of an `append` event. */
export function streamSource (
  client: CoreClient, name: MaybeName, event: string, key: string | number | null | undefined
): Source<StreamView<never>> {
  return sourceOf(client, name, UNKNOWN, ({ texts }) => texts.get(`${event} ${key}`))
}

/** What a component can do in a room, mounted or not: the room is used until the answer is here. */
export function actionsOf (client: CoreClient, name: MaybeName): Pick<AnyRoom, 'send' | 'presence'> {
  const inside = (method: 'send' | 'presence') => async (...given: never): Promise<unknown> => {
    if (!name) throw failure(refused('not_joined', 'there is no room yet'))
    const off = holdRoom(client, name, {})
    try {
      // The components that are being mounted say first how the room is to be joined.
      await undefined
      return await (heldRoom(client, name)!.join()[method] as (...given: never) => Promise<unknown>)(...given)
    } finally {
      off()
    }
  }
  // The types are those of the room's own methods, which are called.
  return { send: inside('send'), presence: inside('presence') } as never
}

/** The connection of a client. */
export function connectionSource (client: CoreClient): Source<ConnectionView> {
  let view: ConnectionView
  const see = (error?: RealtimeError): void => {
    const { state, transport, userId } = client
    view = { state, transport, userId, error }
  }
  see()
  return {
    blank: UNCONNECTED,
    read: () => view,
    watch (changed) {
      const show = (error?: RealtimeError): void => {
        see(error)
        changed()
      }
      const offs = [
        // What has ended the client was told before, what has broken a link is told next.
        client.on('state', ({ state }) => { show(state === 'closed' ? view.error : undefined) }),
        client.on('error', (error) => { if (!error.room) show(error) })
      ]
      if (view.state !== client.state) show()
      return () => { offs.forEach((off) => { off() }) }
    }
  }
}
