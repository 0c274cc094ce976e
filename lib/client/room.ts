import type { KnownText } from '../protocol/part.js'
import type { Position } from '../protocol/position.js'
import { bucket } from './token-bucket.js'
import { listeners } from './listeners.js'
import type { Frame, FrameData, JoinData, MemberData, Members } from './links/link.js'
import { setNewest } from './newest.js'
import { growingTexts } from './texts.js'
import { now } from './timers.js'
import { reader } from './event-iterator.js'
import type { ClientRoom, RoomEvent, SendOptions } from './types.js'

type Events = Record<string, unknown>
type AnyRoom = ClientRoom<Record<string, { data: unknown, reply: unknown }>, Events, unknown>

/** Values of one event that are kept, the oldest of them given up first; the server keeps no more. */
const VALUES = 1_000

export interface RoomHost {
  send (room: Room, type: string, data: unknown, options?: SendOptions): Promise<unknown>
  leave (room: Room): Promise<void>
  ack (id: string): void
  /** Asks for the whole list of members. */
  members (room: Room): void
  gap (room: string): void
  /** Asks for a whole text, and calls back when it cannot be had. */
  read (room: Room, data: object, failed: () => void): void
}

/** A room, with the state that the client keeps of it. */
export interface Room {
  readonly name: string
  readonly public: AnyRoom
  /** Position of the last event that was delivered. */
  position: Position | undefined
  readonly last: number | undefined
  /** Whether it is joined on the present link. */
  isIn?: boolean
  isAsked?: boolean
  /** Whether it was joined before, so that the next join is a return. */
  wasIn?: boolean
  /** Time by `now()` before which the room is not joined again. */
  until: number
  attempt: number
  /** Messages that were sent and not answered yet. */
  flying: number
  /** Token bucket of the room's own rate, where it has one. */
  take?: (() => number) | undefined
  /** Messages that do not wait behind others. */
  concurrent?: readonly string[] | undefined
  /** Why the room is over. */
  end?: Error
  /** What this client has of the room's texts. */
  known (): KnownText[] | undefined
  enter (data: JoinData, isAgain?: boolean): void
  /** Tells that the link is gone. */
  out (): void
  /** Handles a frame that names this room. */
  frame (frame: Frame): void
  reset (members: Members): void
  /** @param isMeant whether the application ended the room: loops over its events then end without an error */
  close (error: Error, isMeant: boolean): void
  /** Leaves the room when the signal is aborted. A room that is over keeps no listener on the signal. */
  leaveBy (signal: AbortSignal): void
}

export function createRoom (
  name: string,
  { since, last }: { since?: Position | undefined, last?: number | undefined },
  host: RoomHost
): Room {
  const { on, emit, end } = listeners()
  const members = new Map<string, MemberData>()
  const texts = growingTexts((data, failed) => { host.read(room, data, failed) })
  /** Values by `latest` event and key, and by event the property that is the key. */
  const state = new Map<string, Map<string, unknown>>()
  const keys = new Map<string, string>()
  let ttl = Infinity
  /** Time by `now()` at which the link was lost; 0 while it is there. */
  let outAt = 0
  /** Signals of the application, which live longer than this room. */
  const signals = new Set<AbortSignal>()
  let sequence = -1
  let isMeant = false
  let resolve: (value: { resumed?: boolean, growing?: readonly string[] }) => void
  let reject: (error: Error) => void
  const joined = new Promise<{ resumed?: boolean, growing?: readonly string[] }>((_resolve, _reject) => {
    resolve = _resolve
    reject = _reject
  })
  // The reason is also reported as `error`, so a caller that does not wait for `joined` must not lose its Node process
  // by an unhandled rejection.
  joined.catch(() => {})

  const change = (
    joined: readonly MemberData[],
    left: readonly MemberData[],
    changed: readonly MemberData[] = []
  ): void => {
    for (const { userId } of left) members.delete(userId)
    for (const member of [...joined, ...changed]) members.set(member.userId, member)
    if (joined.length + left.length + changed.length) void emit(['presence'], { joined, left, changed })
  }

  const leave = (): Promise<void> => host.leave(room)

  const room: Room = {
    name,
    last,
    position: since,
    until: 0,
    attempt: 0,
    flying: 0,
    public: {
      name,
      joined,
      members: members as AnyRoom['members'],
      state: state as AnyRoom['state'],
      on,
      presence: (data: unknown, options?: SendOptions) => host.send(room, 'presence', data, options),
      send: (type: string, data: unknown, options?: SendOptions) => host.send(room, type, data, options),
      leave,
      stream: (event: string, key: string | number) => texts.parts(event, `${key}`, on, room, () => isMeant),
      [Symbol.asyncIterator]: () => reader<RoomEvent<Events>>(on, room, () => isMeant)
    } as AnyRoom,
    enter ({ epoch, offset, resumed, members, rate, concurrent, growing, latest }, isAgain) {
      // A room without history answers each poll that nothing was resumed, so only a room with an epoch has lost
      // events.
      const isLost = isAgain && room.isIn
        ? resumed === false && epoch
        : resumed === false || (room.wasIn && resumed !== true)
      // Each answer of a poll says the terms again, and does not fill the bucket.
      if (!isAgain || !room.isIn) room.take = rate && bucket(rate)
      room.concurrent = concurrent
      room.isIn = room.isAsked = room.wasIn = true
      room.attempt = 0
      if (epoch) room.position = { epoch, offset: offset! }
      // What the server still keeps comes behind this.
      if (isLost || (outAt && now() - outAt > ttl)) state.forEach((values) => { values.clear() })
      outAt = 0
      if (latest) {
        ({ ttl } = latest)
        for (const [event, key] of Object.entries(latest.keys)) {
          keys.set(event, key)
          if (!state.has(event)) state.set(event, new Map())
        }
      }
      if (isLost) host.gap(name)
      if (members) room.reset(members)
      resolve({ ...resumed !== undefined && { resumed }, ...growing && { growing } })
    },
    out () {
      outAt ||= now()
      room.isIn = room.isAsked = false
      room.flying = 0
    },
    known: texts.known,
    frame (frame) {
      const { type, data, offset, timestamp, ack } = frame
      if (type === 'presence') {
        const { sequence: next, joined, left, changed } = data as Required<FrameData>
        if (next <= sequence) return
        if (next !== sequence + 1) return host.members(room)
        sequence = next
        change(joined, left, changed)
      } else if (type === 'gap') {
        const { epoch, from, to } = data as FrameData
        // The client is already past the gap, and a smaller position would deliver events twice.
        if (epoch === room.position?.epoch && to! < room.position!.offset) return
        room.position = { epoch: epoch!, offset: to! }
        if (from !== to) host.gap(name)
      } else if (frame.from !== undefined) {
        for (const event of texts.frame(frame)) void emit([type, '*'], event)
      } else if (type === 'removed') {
        const { event, key } = data as Required<FrameData>
        if (state.get(event)?.delete(key)) void emit([type], { event, key })
      } else if (offset === undefined || offset > (room.position?.offset ?? -1)) {
        if (offset !== undefined && room.position) room.position = { ...room.position, offset }
        const values = state.get(type)
        if (values) setNewest(values, `${(data as Record<string, unknown>)[keys.get(type)!]}`, data, VALUES)
        const settled = emit([type, '*'], { type, data, timestamp, ...(offset !== undefined && { offset }) })
        if (ack) void settled.then(() => { host.ack(ack) })
      }
    },
    reset ({ sequence: next, list = [] }) {
      sequence = next
      const ids = new Set(list.map(({ userId }) => userId))
      change(
        list.filter(({ userId }) => !members.has(userId)),
        [...members.values()].filter(({ userId }) => !ids.has(userId)),
        list.filter((member) => {
          const known = members.get(member.userId)
          return known && JSON.stringify(known) !== JSON.stringify(member)
        })
      )
    },
    close (error, meant) {
      room.end = error
      isMeant = meant
      reject(error)
      for (const signal of signals) signal.removeEventListener('abort', leave)
      void emit([''], error)
      end()
    },
    leaveBy (signal) {
      if (signal.aborted) void leave()
      if (room.end) return
      signals.add(signal)
      signal.addEventListener('abort', leave)
    }
  }
  return room
}
