import type { Refused } from '../errors.js'
import type { FrameData, MemberData, Members } from '../links/link.js'
import { eachRoom } from './each-room.js'

/** Milliseconds until a list is asked for again that could not be had. */
const AGAIN = 1_000

/** The members of rooms: `room.members` and the event `presence`, which are empty and mute without it. */
export const members = eachRoom((room, host, core) => {
  const all = room.members as Map<string, MemberData>
  const { enter, frame } = room
  room.sequence = -1

  const change = (
    joined: readonly MemberData[],
    left: readonly MemberData[],
    changed: readonly MemberData[] = []
  ): void => {
    for (const { userId } of left) all.delete(userId)
    for (const member of [...joined, ...changed]) all.set(member.userId, member)
    if (joined.length + left.length + changed.length || !all.size) room.emit({ joined, left, changed }, 'presence')
  }

  /** Takes a whole list of members. Without one there are too many, and nobody is known: nobody has left for that. */
  const reset = ({ sequence, list }: Members): void => {
    room.sequence = sequence
    room.isListed = !!list
    const left = new Map(list && all)
    if (!list) all.clear()
    const joined: MemberData[] = []
    const changed: MemberData[] = []
    for (const member of list ?? []) {
      const known = left.get(member.userId)
      left.delete(member.userId)
      if (!known) joined.push(member)
      else if (JSON.stringify(known) !== JSON.stringify(member)) changed.push(member)
    }
    change(joined, [...left.values()], changed)
  }

  /**
   * Asks for the list until it has one: no later change may come that would show that it is still missing. The end of
   * the link ends it.
   */
  const read = (): void => {
    host.ask('members', room.name, undefined, (answer) => {
      const data = answer?.data as Members & Refused
      // Where each request goes to another node, an older answer may come behind a newer one.
      if (answer?.type === 'ack') data.sequence < room.sequence! || reset(data)
      else if (data && data.retry !== 'never') core.line.after(room, data.retryAfter ?? AGAIN, read)
    })
  }

  room.enter = (entered) => {
    // Before those who wait for the room are told that it is entered.
    if (entered.members) reset(entered.members)
    enter(entered)
  }
  room.frame = (each) => {
    if (each.type !== 'presence') return frame(each)
    const { sequence, joined, left, changed } = each.data as Required<FrameData>
    if (sequence > room.sequence! + 1) read()
    else if (sequence > room.sequence!) {
      room.sequence = sequence
      change(joined, left, changed)
    }
  }
})
