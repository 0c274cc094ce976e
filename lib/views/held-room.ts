import { setNewest } from '../client/newest.js'
import { after } from '../client/timers.js'
import type { AnyRoom } from '../client/room-types.js'
import type { CoreClient, JoinOptions, Member, RealtimeError } from '../client/types.js'
import type { TextEnd } from '../protocol/part.js'
import type { RoomStatus, StreamView } from './types.js'

/**
 * Milliseconds that a room stays joined without a component that uses it. A component that is mounted again, or whose
 * code is replaced or still loads, so does not make the user leave and come back before the eyes of all others.
 */
const LINGER = 250
/** Copies that are kept, the one that was made longest ago given up first; the client keeps no more texts. */
const COPIES = 1_000

interface AnyEvent {
  readonly type: string
  readonly data: unknown
  /** Given of texts that grow alone. */
  readonly added?: unknown
  readonly end?: TextEnd
}

/** The name of a room, or nothing yet. */
export type MaybeName = string | undefined

/** A key of values or texts, or none yet. */
type Key = string | number | null | undefined

/** A room that components use, with what they show of it: each object stays the same until it changes. */
export interface HeldRoom {
  /** The room itself, once it is there. */
  room (): AnyRoom | undefined
  /** How far it is. */
  status (): RoomStatus
  /**
   * The newest events, in a list that all have together who ask for the same names: more than `last` where one of them
   * asks for more.
   *
   * @param names joined by commas
   * @param since as JSON
   */
  events (last: number | undefined, names: string | undefined, since: string | undefined): readonly unknown[]
  members (): ReadonlyArray<Member<unknown>>
  /** A copy of the values of a `latest` event. */
  values (event: string, key?: Key): unknown
  /** The newest value of one key. */
  value (event: string, key: Key): unknown
  /** A text of an `append` event. */
  text (event: string, key: Key): StreamView<never>
  /** The room, joined if it is not yet. */
  join (): Promise<AnyRoom>
  /**
   * Begins a component's use of the room.
   *
   * @param changed called when anything of the room has changed; a function of its own for each use
   * @returns a function that ends the use
   */
  add (changed: () => void): () => void
}

export const NONE: readonly never[] = []
export const JOINING: RoomStatus = { status: 'joining', error: undefined, gaps: 0 }

function createHeldRoom (client: CoreClient, name: string, rooms: Map<string, HeldRoom>): HeldRoom {
  const users = new Set<() => void>()
  /** The newest events by their names, joined by commas: as many as the component asks for that asks for most. */
  const lists = new Map<string | undefined, readonly unknown[]>()
  /** What is shown of the room's maps by what makes it change, and of its texts by event and key. */
  const copies = new Map<string, unknown>()
  let room: AnyRoom | undefined
  let shown = JOINING
  /** What the component asks for that asks for most. */
  const asked: JoinOptions & { last: number } = { last: 0 }
  let stay: (() => void) | undefined

  const tell = (): void => { users.forEach((changed) => { changed() }) }
  const become = (more: Partial<RoomStatus>): void => {
    shown = { ...shown, ...more }
    tell()
  }
  const copied = (event: string, copy: (room: AnyRoom) => unknown): never => {
    if (room && !copies.has(event)) copies.set(event, copy(room))
    // What is put there by the name is what it is asked for.
    return copies.get(event) as never
  }
  const change = (event: string): void => {
    copies.delete(event)
    tell()
  }

  const take = (event: AnyEvent): void => {
    const { type, data, added, end } = event
    if (added !== undefined) {
      // The key is the first property of the data, and what grows the last one.
      const values = Object.values(data as object) as never[]
      setNewest(copies, `${type} ${values[0]}`, { text: values.at(-1), data, end }, COPIES)
    }
    lists.forEach((events, names) => {
      if (names?.split(',').includes(type) ?? (added === undefined && !room!.state.has(type))) {
        lists.set(names, [...events, event].slice(-asked.last))
      }
    })
    change(type)
  }

  const join = async (): Promise<AnyRoom> => {
    // All components that are mounted at the same time join once, with what the most demanding of them asks for.
    await undefined
    if (!room && users.size) {
      const mine = room = client.join(name, asked)
      const enter = (status: RoomStatus['status'], error?: RealtimeError): void => {
        if (room === mine) become({ status, error })
      }
      const end = (error: unknown): void => { enter('ended', error as RealtimeError) }
      mine.on('*', take)
      mine.on('removed', ({ event }) => { change(event) })
      mine.on('presence', () => { change('presence') })
      // The room is over.
      mine.on('', end)
      mine.joined.then(() => { enter('joined') }, end)
      tell()
    }
    return room!
  }

  const offs = [
    client.on('state', ({ state }) => {
      // A client that was closed has lost its rooms.
      if (state !== 'connecting') return
      copies.clear()
      // What they have shown comes again to those who still read it.
      lists.clear()
      room = undefined
      become(JOINING)
      void join()
    }),
    client.on('gap', (gap) => { if (gap.room === name) become({ gaps: shown.gaps + 1 }) }),
    // Why it waits. What has ended it, it tells itself.
    client.on('error', (error) => { if (error.room === name && shown.status === 'joining') become({ error }) })
  ]
  const leave = (): void => {
    rooms.delete(name)
    offs.forEach((off) => { off() })
    void room?.leave()
  }

  return {
    room: () => room,
    status: () => shown,
    events (last, names, since) {
      asked.since ??= since && JSON.parse(since)
      if (!last) return NONE
      asked.last = Math.max(asked.last, last)
      const events = lists.get(names) ?? NONE
      lists.set(names, events)
      return events
    },
    members: () => copied('presence', ({ members }) => [...members.values()]),
    values: (event) => copied(event, ({ state }) => new Map(state.get(event))),
    value: (event, key) => room?.state.get(event)?.get(`${key}`),
    // Put there as a view of this text.
    text: (event, key) => copies.get(`${event} ${key}`) as never,
    join,
    add (changed) {
      stay?.()
      users.add(changed)
      void join()
      return () => {
        if (!users.delete(changed) || users.size) return
        // Who comes to a room that was refused to those who have gone asks again.
        if (shown.status === 'ended') leave()
        else stay = after(LINGER, leave)
      }
    }
  }
}

const all = new WeakMap<CoreClient, Map<string, HeldRoom>>()

/** The room of this name, where a component uses it. */
export function heldRoom (client: CoreClient, name: MaybeName): HeldRoom | undefined {
  return all.get(client)?.get(name!)
}

/** Uses a room: the first user joins it, and the last one leaves it. */
export function holdRoom (client: CoreClient, name: MaybeName, changed: () => void): () => void {
  if (!name) return () => {}
  const rooms = all.get(client) ?? new Map<string, HeldRoom>()
  all.set(client, rooms)
  if (!rooms.has(name)) rooms.set(name, createHeldRoom(client, name, rooms))
  return rooms.get(name)!.add(changed)
}
