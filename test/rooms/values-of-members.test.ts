import t from 'tap'
import { Type } from '@sinclair/typebox'
import type { HistoryPage } from '../../lib/adapters/adapter.js'
import { defineRoom } from '../../lib/contract/index.js'
import { decodeCursor } from '../../lib/protocol/cursor.js'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import { Retention } from '../../lib/retention/retention.js'
import { declare } from '../../lib/rooms/declaration.js'
import type { Membership } from '../../lib/rooms/membership.js'
import { Room } from '../../lib/rooms/room.js'
import { Walks } from '../../lib/rooms/walks.js'
import { CursorTrack } from '../../lib/transports/cursor-track.js'

const since = { epoch: 'abcdefgh', offset: 34 }
const definition = defineRoom('map', {
  events: { moved: { data: Type.Object({ id: Type.String() }), delivery: 'latest', key: 'id' } }
})

function makeRoom (latest: readonly Packet[] = []): Room {
  const declaration = declare(definition, {}, {}, { history: { size: 100, ttl: 300_000 } }, undefined)
  const room = new Room('map', declaration, {}, {
    retention: new Retention(1_000_000),
    walks: new Walks({}),
    source: { history: (): HistoryPage => { throw new Error('nothing is read') } }
  })
  room.stands(since)
  room.opened(latest)
  return room
}

function value (key: string, version: number | undefined, isRemoval = false): Packet {
  const head = { type: 'moved', room: 'map', delivery: 'latest', timestamp: 1, key, version } as const
  return encodeEvent(isRemoval ? { ...head, isRemoval } : head, '{}')
}

function set (room: Room, ...packets: readonly Packet[]): void {
  for (const packet of packets) void room.event(packet)
}

interface Entered {
  readonly membership: Membership
  readonly sent: string[]
  readonly version: () => number | undefined
}

/** @param most frames that reach the member, whose stream then breaks */
function enter (room: Room, version: number | undefined, most = Number.POSITIVE_INFINITY): Entered {
  const track = new CursorTrack('A'.repeat(22), ['map'])
  track.begin('map', { since, version })
  const sent: string[] = []
  const member = {
    id: 'c',
    userId: 'u',
    isOpen: true,
    send (packet: Packet): boolean {
      if (sent.length < most) {
        track.see(packet)
        const { key, version, isRemoval } = packet.event!
        sent.push(`${isRemoval === true ? '-' : ''}${key!} ${version ?? '?'}`)
      }
      return true
    },
    whenDrained: () => undefined
  }
  const { membership } = room.add(member, {
    since, resumed: true, snapshot: undefined, former: undefined, version, isReturn: version !== undefined
  })
  room.start(membership, [])
  return { membership, sent, version: () => decodeCursor(track.toString(), ['map'])!.entries[0]!.version }
}

/** Begins the next poll of a member between two polls. */
function poll (room: Room, { membership, sent }: Entered, version: number): string[] {
  sent.length = 0
  membership.unpark(since, { version }, undefined, true)
  room.start(membership, [])
  return [...sent]
}

t.test('a stream that breaks behind any of the values and removals gets the others when it comes back', async (t) => {
  const all = ['a 10', 'b 11', '-d 13', 'e 15']
  for (let most = 0; most <= all.length; most++) {
    const room = makeRoom([value('d', 13, true), value('e', 15), value('a', 10)])
    set(room, value('b', 11))
    const first = enter(room, 9, most)
    room.remove(first.membership)
    t.same([first.sent, enter(room, first.version()).sent], [all.slice(0, most), all.slice(most)], `behind ${most}`)
  }
})

t.test('a value that was set while the broker could not be reached is sent behind the others', async (t) => {
  const room = makeRoom()
  set(room, value('x', undefined), value('a', 10))
  t.same(enter(room, undefined).sent, ['a 10', 'x ?'])
})

t.test('values and removals that their node found late reach a member that was between two polls', async (t) => {
  const room = makeRoom()
  const member = enter(room, 47)
  set(room, value('b', 50))
  member.membership.park()
  set(room, value('a', 48), value('d', 49, true))
  t.same(poll(room, member, 50), ['a 48', '-d 49'])
})

t.test('a late value is in two answers, since the first may be lost, and in no more', async (t) => {
  const room = makeRoom()
  const member = enter(room, 47)
  set(room, value('b', 49))
  member.membership.park()
  set(room, value('a', 48), value('x', undefined))
  const answers = [49, 49, 49, 49].map((version) => {
    const sent = poll(room, member, version)
    member.membership.park()
    return sent
  })
  t.same(answers, [['a 48', 'x ?'], ['a 48', 'x ?'], [], []])
  poll(room, member, 49)
  set(room, value('c', 46))
  t.same(member.sent, ['c 46'], 'another comes while the poll waits')
  member.membership.park()
  t.same(poll(room, member, 49), ['c 46'])
  member.membership.park()
  t.same(poll(room, member, 49), [])
})

t.test('late values reach a stream that comes back and knows a newer version', async (t) => {
  const room = makeRoom()
  const first = enter(room, 47)
  set(room, value('b', 49))
  room.remove(first.membership)
  set(room, value('a', 48))
  t.same(enter(room, first.version()).sent, ['a 48'])
})

t.test('a late value that is set anew is late no more', async (t) => {
  const room = makeRoom()
  room.remove(enter(room, 47).membership)
  set(room, value('b', 49), value('a', 48), value('a', 50))
  t.same(enter(room, 50).sent, [])
})

t.test('what a room is opened with is not late, in whatever order it was read', async (t) => {
  t.same(enter(makeRoom([value('b', 49), value('a', 48)]), 49).sent, [])
})
