import t from 'tap'
import { Type } from '@sinclair/typebox'
import { defineRoom } from '../../lib/contract/index.js'
import type { Packet } from '../../lib/protocol/packet.js'
import { Retention } from '../../lib/retention/retention.js'
import { declare } from '../../lib/rooms/declaration.js'
import type { Membership } from '../../lib/rooms/membership.js'
import { Room } from '../../lib/rooms/room.js'
import { Walks } from '../../lib/rooms/walks.js'

/** A member whose list of members is being read, and the changes that it has been told. */
function asking (): { room: Room, membership: Membership, told: number[], change: (sequence: number) => void } {
  const declaration = declare(defineRoom('r', { events: { e: Type.Number() } }), {}, {}, { history: false }, undefined)
  const room = new Room('r', declaration, {}, { retention: new Retention(1_000), walks: new Walks({}), source: {} })
  const told: number[] = []
  const member = {
    id: 'c',
    userId: 'u',
    isOpen: true,
    send ({ payload }: Packet): boolean {
      told.push((JSON.parse(payload.toString()) as { data: { sequence: number } }).data.sequence)
      return true
    },
    whenDrained: () => undefined
  }
  const { membership } = room.add(member, {
    since: undefined, resumed: undefined, snapshot: undefined, former: undefined, version: undefined, isReturn: true
  })
  room.start(membership, [])
  membership.heard = []
  const change = (sequence: number): void => { room.presence({ sequence, joined: [], left: [] }) }
  change(1)
  change(2)
  return { room, membership, told, change }
}

t.test('a member whose list is read is told what came behind the list when it starts, each once and in order', async (t) => {
  const { room, membership, told, change } = asking()
  t.same(told, [])
  membership.unpark(room.position, {}, 1, true)
  change(3)
  t.same(told, [], 'nor before its start')
  room.start(membership, [])
  change(4)
  t.same(told, [2, 3, 4])
})

t.test('a member whose list cannot be read is told what it has heard, unless it has left or is parked by then', async (t) => {
  const stays = asking()
  stays.room.tellHeard(stays.membership)
  stays.change(3)
  t.same(stays.told, [1, 2, 3])
  for (const end of ['left', 'parked']) {
    const { room, membership, told, change } = asking()
    if (end === 'left') room.remove(membership)
    else membership.park()
    room.tellHeard(membership)
    change(3)
    t.same(told, [], end)
  }
})
