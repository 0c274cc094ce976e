import type { KnownText } from '../protocol/part.js'
import type { Position } from '../protocol/position.js'
import { bucket } from './token-bucket.js'
import { listeners } from './listeners.js'
import type { Frame, FrameData, JoinData, MemberData, Members } from './links/link.js'
import { setNewest } from './newest.js'
import { growingTexts } from './texts.js'
import { now } from './timers.js'
import { reader, type Ending } from './event-iterator.js'
import type { ClientRoom, RoomEvent, SendOptions } from './types.js'

type Events = Record<string, unknown>
type AnyRoom = ClientRoom<Record<string, { data: unknown, reply: unknown }>, Events, unknown>

/** Values of one event that are kept, the oldest of them given up first; the server keeps no more. */
const VALUES = 1_000

export interface RoomHost {
  send (room: Room, type: string, data: unknown, options?: SendOptions): Promise<unknown>
  leave (room: Room): Promise<void>
  ack (id: string): void
  /** Asks the server for something of a room, and calls back with the answer; without one when the link ends. */
  ask (type: string, room: string, data: object | undefined, done: (answer?: Frame) => void): void
  gap (room: string): void
}

/** A room, with the state that the client keeps of it. */
export interface Room extends Ending {
  readonly name: string
  readonly public: AnyRoom
  /** Position of the last event that was delivered. */
  position: Position | undefined
  readonly last: number | undefined
  /** Whether it is joined on the present link. */
  isIn?: boolean
  isAsked?: boolean | undefined
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
  /** What this client has of the room's texts. */
  known (): KnownText[] | undefined
  enter (data: JoinData, isAgain?: boolean): void
  /** Tells that the link is gone. */
  out (): void
  /** Handles a frame that names this room. */
  frame (frame: Frame): void
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
  const texts = growingTexts((data, failed) => {
    host.ask('read', name, data, (answer) => { if (answer?.type === 'error') failed() })
  })
  /** Values by `latest` event and key, and what the server says of these events. */
  const state = new Map<string, Map<string, unknown>>()
  let kept: FrameData['latest']
  /** Time by `now()` at which the link was lost; 0 while it is there. */
  let outAt = 0
  /** Signals of the application, which live longer than this room. */
  const signals = new Set<AbortSignal>()
  let sequence = -1
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
    if (joined.length + left.length + changed.length) void emit({ joined, left, changed }, 'presence')
  }

  /** Takes a whole list of members. */
  const reset = ({ sequence: next, list = [] }: Members): void => {
    sequence = next
    const left = new Map(members)
    const joined: MemberData[] = []
    const changed: MemberData[] = []
    for (const member of list) {
      const known = left.get(member.userId)
      left.delete(member.userId)
      if (!known) joined.push(member)
      else if (JSON.stringify(known) !== JSON.stringify(member)) changed.push(member)
    }
    change(joined, [...left.values()], changed)
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
      stream: (event: string, key: string | number) => texts.parts(event, `${key}`, on, room),
      [Symbol.asyncIterator]: () => reader<RoomEvent<Events>>(on, room)
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
      if (isLost || (outAt && kept && now() - outAt > kept.ttl)) state.forEach((values) => { values.clear() })
      outAt = 0
      kept = latest ?? kept
      for (const event in latest?.keys) if (!state.has(event)) state.set(event, new Map())
      if (isLost) host.gap(name)
      if (members) reset(members)
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
        if (next !== sequence + 1) {
          return host.ask('members', name, undefined, (answer) => {
            if (answer?.type === 'ack') reset(answer.data as Members)
          })
        }
        sequence = next
        change(joined, left, changed)
      } else if (type === 'gap') {
        const { epoch, from, to } = data as FrameData
        // The client is already past the gap, and a smaller position would deliver events twice.
        if (epoch === room.position?.epoch && to! < room.position!.offset) return
        room.position = { epoch: epoch!, offset: to! }
        if (from !== to) host.gap(name)
      } else if (frame.from !== undefined) {
        for (const event of texts.frame(frame)) void emit(event, type, '*')
      } else if (type === 'removed') {
        const { event, key } = data as Required<FrameData>
        if (state.get(event)?.delete(key)) void emit({ event, key }, type)
      } else if (offset === undefined || offset > (room.position?.offset ?? -1)) {
        if (offset !== undefined && room.position) room.position = { ...room.position, offset }
        const values = state.get(type)
        if (values) setNewest(values, `${(data as Record<string, unknown>)[kept!.keys[type]!]}`, data, VALUES)
        const settled = emit({ type, data, timestamp, ...(offset !== undefined && { offset }) }, type, '*')
        if (ack) void settled.then(() => { host.ack(ack) })
      }
    },
    close (error, isMeant) {
      room.end = error
      room.isMeant = isMeant
      reject(error)
      for (const signal of signals) signal.removeEventListener('abort', leave)
      void emit(error, '')
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
