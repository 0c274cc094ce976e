import { setNewest } from '../client/newest.js'
import { after } from '../client/timers.js'
import type { TextEnd } from '../protocol/part.js'
import type { AnyRoom } from '../client/room-types.js'
import type { CoreClient, JoinOptions, Member } from '../client/types.js'
import type { RoomStatus, StreamView } from './types.js'

/**
 * Milliseconds that a room stays joined without a component that uses it. A component that is mounted again, or whose
 * code is replaced or still loads, so does not make the user leave and come back before the eyes of all others.
 */
const LINGER = 250
/** Texts that are kept, the one that changed longest ago given up first; the client keeps no more. */
const TEXTS = 1_000

interface AnyEvent { readonly type: string, readonly data: unknown, readonly end?: TextEnd }

/** The name of a room, or nothing yet. */
export type MaybeName = string | undefined

/** How far a room is, and its newest events. */
export interface Shown extends RoomStatus { readonly events: readonly unknown[] }

/** A component's use of a room. */
export interface User {
  /** Called when anything of the room has changed. */
  changed? (): void
  /** The list of events that it shows. */
  readonly list?: string
  readonly last?: number | null
  readonly names?: readonly string[] | null
  readonly since?: JoinOptions['since']
  /** Listens to the room once it is there. @returns a function that ends that */
  attach? (room: AnyRoom): (() => void) | void
  /** Ends what it listens to. */
  off?: (() => void) | void
}

/** The newest events, for all components that ask for the same. */
interface List extends Pick<User, 'last' | 'names'> { shown: Shown }

/** A room that components use, with what they show of it: each object stays the same until it changes. */
export interface HeldRoom {
  members: ReadonlyArray<Member<unknown>>
  /** By what components ask for: so many as they differ in. */
  readonly lists: Map<string, List>
  /** By event and key. */
  readonly texts: Map<string, StreamView<never>>
  /** A copy of the values of a `latest` event, or the value of one key. */
  latest (event: string, key: string | number | undefined): unknown
  /** The room, joined if it is not yet. */
  join (): AnyRoom
  /** @returns a function that ends the use */
  add (user: User): () => void
}

export const NONE: readonly never[] = []
export const JOINING: Shown = { status: 'joining', gaps: 0, events: NONE }

function createHeldRoom (client: CoreClient, name: string, over: () => void): HeldRoom {
  const users = new Set<User>()
  const copies = new Map<string, ReadonlyMap<string, unknown>>()
  /** What is shown without any events. */
  let base = JOINING
  let room: AnyRoom | undefined
  let offs: Array<() => void> = []
  let stay = (): void => {}

  const tell = (): void => { users.forEach((user) => user.changed?.()) }
  const become = (more: Partial<RoomStatus>): void => {
    base = { ...base, ...more }
    held.lists.forEach((list) => { list.shown = { ...list.shown, ...more } })
    tell()
  }

  const take = (event: AnyEvent): void => {
    const { type, data, end } = event
    const isGrowing = 'added' in event
    copies.delete(type)
    if (isGrowing) {
      // The key is the first property of the data, and what grows the last one.
      const values = Object.values(data as object) as never[]
      setNewest(held.texts, `${type} ${values[0]}`, { text: values.at(-1), data: data as never, end }, TEXTS)
    }
    held.lists.forEach((list) => {
      const { last, names, shown } = list
      if (last && (names ? names.includes(type) : !isGrowing && !room!.state.has(type))) {
        list.shown = { ...shown, events: [...shown.events, event].slice(-last) }
      }
    })
    tell()
  }

  const quit = (): void => {
    offs.forEach((off) => { off() })
    users.forEach((user) => user.off?.())
    room = undefined
  }

  const join = (): AnyRoom => {
    if (room) return room
    const last = Math.max(0, ...[...held.lists.values()].map(({ last }) => last!))
    const since = [...users].find(({ since }) => since)?.since
    const mine = room = client.join(name, { ...(last && { last }), ...(since && { since }) })
    let wasClosed = false
    const showMembers = (): void => {
      held.members = [...mine.members.values()]
      tell()
    }
    const showState = ({ state }: { readonly state?: string }): void => {
      if (state === 'closed') become({ status: 'ended' })
      else if (wasClosed) {
        quit()
        become({ status: 'joining', error: undefined })
        join()
      }
      wasClosed = state === 'closed'
    }
    offs = [
      mine.on('*', take),
      mine.on('removed', ({ event }) => {
        copies.delete(event)
        tell()
      }),
      mine.on('presence', showMembers),
      client.on('state', showState),
      client.on('gap', ({ room: lost }) => {
        if (lost !== name) return
        become({ gaps: base.gaps + 1 })
      }),
      client.on('error', (error) => {
        const isFinal = error.retryIn === undefined
        // What ends the client ends its rooms. What is tried again matters to who still waits for the first join.
        if (isFinal ? (error.room ?? name) === name : error.room === name && base.status === 'joining') {
          become({ error, ...(isFinal && { status: 'ended' }) })
        }
      })
    ]
    users.forEach((user) => { user.off = user.attach?.(mine) })
    mine.joined.then(() => { if (room === mine) become({ status: 'joined', error: undefined }) }, () => {})
    showMembers()
    showState(client)
    return mine
  }

  const leave = (): void => {
    const left = room
    quit()
    over()
    void left?.leave()
  }

  const held: HeldRoom = {
    members: NONE,
    lists: new Map(),
    texts: new Map(),
    latest (event, key) {
      const values = room?.state.get(event)
      if (key !== undefined) return values?.get(`${key}`)
      if (values && !copies.has(event)) copies.set(event, new Map(values))
      return copies.get(event)
    },
    join,
    add (user) {
      stay()
      // Who comes to a room that was refused to those who have gone asks again.
      if (!users.size && base.status === 'ended') {
        quit()
        become(JOINING)
      }
      users.add(user)
      if (user.list && !held.lists.has(user.list)) held.lists.set(user.list, { ...user, shown: base })
      user.off = room && user.attach?.(room)
      // All components that are mounted at the same time join once, with what the most demanding of them asks for.
      queueMicrotask(() => { if (users.size) join() })
      return () => {
        user.off?.()
        if (users.delete(user) && !users.size) stay = after(LINGER, leave)
      }
    }
  }
  return held
}

const all = new WeakMap<CoreClient, Map<string, HeldRoom>>()

/** The room of this name, where a component uses it. */
export function heldRoom (client: CoreClient, name: MaybeName): HeldRoom | undefined {
  return all.get(client)?.get(name!)
}

/** Uses a room: the first user joins it, and the last one leaves it. */
export function holdRoom (client: CoreClient, name: MaybeName, user: User): () => void {
  if (!name) return () => {}
  const rooms = all.get(client) ?? new Map<string, HeldRoom>()
  all.set(client, rooms)
  const held = rooms.get(name) ?? createHeldRoom(client, name, () => { rooms.delete(name) })
  rooms.set(name, held)
  return held.add(user)
}
