import type { Position } from '../protocol/position.js'
import type { AnyRoom, Entered, Handle, Room, RoomHost } from './room-types.js'
import { bucket } from './token-bucket.js'
import type { FrameData, MemberData, Members } from './links/link.js'
import { setNewest } from './newest.js'
import type { growingTexts } from './growing-texts.js'
import { now } from './timers.js'

/** Values of one event that are kept, the oldest of them given up first; the server keeps no more. */
const VALUES = 1_000

export function createRoom (
  name: string,
  { since, last }: { since?: Position | undefined, last?: number | undefined },
  host: RoomHost,
  createTexts?: typeof growingTexts
): Room {
  const handles = new Set<Handle>()
  const emit = (detail: unknown, ...names: readonly string[]): Array<Promise<unknown>> =>
    [...handles].flatMap((handle) => handle.emit(detail, ...names))
  const members = new Map<string, MemberData>()
  const texts = createTexts?.((data, failed) => {
    host.ask('read', name, data, (answer) => { if (answer?.type === 'error') failed() })
  })
  /** Values by `latest` event and key, and what the server says of these events. */
  const state = new Map<string, Map<string, unknown>>()
  let kept: FrameData['latest']
  /** Time by `now()` at which the link was lost; 0 while it is there. */
  let outAt = 0

  const gap = (): void => {
    host.gap(name)
    emit({}, 'gap')
  }

  /** Lets values go, and tells of each. */
  const remove = (event: string, ...keys: readonly string[]): void => {
    for (const key of keys) if (state.get(event)?.delete(key)) emit({ event, key }, 'removed')
  }

  const change = (
    joined: readonly MemberData[],
    left: readonly MemberData[],
    changed: readonly MemberData[] = []
  ): void => {
    for (const { userId } of left) members.delete(userId)
    for (const member of [...joined, ...changed]) members.set(member.userId, member)
    if (joined.length + left.length + changed.length) emit({ joined, left, changed }, 'presence')
  }

  /** Takes a whole list of members. */
  const reset = ({ sequence: next, list = [] }: Members): void => {
    room.sequence = next
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

  const room: Room = {
    name,
    members: members as AnyRoom['members'],
    state: state as AnyRoom['state'],
    texts,
    handles,
    last,
    position: since,
    until: 0,
    attempt: 0,
    flying: 0,
    entered: {},
    sequence: -1,
    enter (entered, isAgain) {
      const { epoch, offset, resumed, members, rate, concurrent, growing, latest } = room.entered = entered
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
      if (isLost || (outAt && kept && now() - outAt > kept.ttl)) {
        state.forEach((values, event) => { remove(event, ...values.keys()) })
      }
      outAt = 0
      kept = latest ?? kept
      for (const event in latest?.keys) if (!state.has(event)) state.set(event, new Map())
      if (isLost) gap()
      if (members) reset(members)
      const first: Entered = { ...resumed !== undefined && { resumed }, ...growing && { growing } }
      for (const handle of handles) handle.enter(first)
    },
    out () {
      outAt ||= now()
      room.isIn = room.isAsked = false
      room.flying = 0
    },
    frame (frame) {
      const { type, data, offset, timestamp, ack, reply } = frame
      if (type === 'presence') {
        const { sequence: next, joined, left, changed } = data as Required<FrameData>
        if (next <= room.sequence) return
        if (next !== room.sequence + 1) {
          return host.ask('members', name, undefined, (answer) => {
            if (answer?.type === 'ack') reset(answer.data as Members)
          })
        }
        room.sequence = next
        change(joined, left, changed)
      } else if (type === 'gap') {
        const { epoch, from, to } = data as FrameData
        // The client is already past the gap, and a smaller position would deliver events twice.
        if (epoch === room.position?.epoch && to! < room.position!.offset) return
        room.position = { epoch: epoch!, offset: to! }
        if (from !== to) gap()
      } else if (texts && frame.from !== undefined) {
        for (const event of texts.frame(frame)) emit(event, type, '*')
      } else if (type === 'removed') {
        const { event, key } = data as Required<FrameData>
        remove(event, key)
      } else if (offset === undefined || offset > (room.position?.offset ?? -1)) {
        if (offset !== undefined && room.position) room.position = { ...room.position, offset }
        const values = state.get(type)
        if (values) setNewest(values, `${(data as Record<string, unknown>)[kept!.keys[type]!]}`, data, VALUES)
        const calls = emit({ type, data, timestamp, ...(offset !== undefined && { offset }) }, type, reply ? '-' : '*')
        if (reply) {
          Promise.any(calls).then((data) => { host.ack(ack!, { data }) }).catch((error) => {
            const { code, message } = error.errors?.[0] ?? error
            host.ack(ack!, { error: { code, message } })
          })
        } else if (ack) {
          void Promise.allSettled(calls).then((all) => {
            host.ack(ack)
            for (const { reason } of all as PromiseRejectedResult[]) if (reason) void Promise.reject(reason)
          })
        }
      }
    }
  }
  return room
}
