import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import type { HistoryPage } from '../../lib/adapters/adapter.js'
import { defineRoom } from '../../lib/contract/index.js'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import { Retention } from '../../lib/retention/retention.js'
import { declare } from '../../lib/rooms/declaration.js'
import type { Membership } from '../../lib/rooms/membership.js'
import { Room } from '../../lib/rooms/room.js'
import { Walks } from '../../lib/rooms/walks.js'

const definition = defineRoom('r', { events: { e: Type.Number() } })
const [OLD, NEW] = ['abcdefgh', 'ijklmnop']

/** A room of a node that has heard 34 events, and what a member is sent that has heard `heard` at another node. */
function entered (heard: number): { room: Room, membership: Membership, sent: unknown[] } {
  const declaration = declare(definition, {}, {}, { history: { size: 100, ttl: 300_000 } }, undefined)
  const history = (): HistoryPage => { throw new Error('nothing has to be read') }
  const walks = new Walks({ large: 1_000, slice: 5 })
  const room = new Room('r', declaration, {}, { retention: new Retention(1_000_000), walks, source: { history } })
  room.stands({ epoch: OLD, offset: 34 })
  room.opened([])
  const sent: unknown[] = []
  const { membership } = room.add({
    id: 'c',
    userId: 'u',
    isOpen: true,
    send: (packet: Packet) => {
      const { type, offset, data } = JSON.parse(packet.payload.toString()) as Record<string, unknown>
      sent.push(type === 'gap' ? data : offset)
      return true
    },
    whenDrained: () => undefined
  }, {
    since: { epoch: OLD, offset: heard },
    resumed: true,
    snapshot: undefined,
    former: undefined,
    version: undefined,
    isReturn: true
  })
  room.start(membership, [])
  return { room, membership, sent }
}

function publish (room: Room, from: number, to: number): void {
  for (let offset = from; offset <= to; offset++) {
    const position = { epoch: NEW, offset }
    void room.event(encodeEvent({ type: 'e', room: 'r', timestamp: 0, delivery: 'reliable', position }, '0'))
  }
}

interface Case {
  readonly title: string
  readonly heard: number
  readonly shared: number | undefined
  /** events behind those that both epochs share were lost */
  readonly isLossy?: true
  readonly sent: unknown[]
}

const cases: readonly Case[] = [
  {
    title: 'a member that has heard all that both epochs share goes on behind that',
    heard: 38,
    shared: 38,
    sent: [{ epoch: NEW, from: 38, to: 38 }, 39, 40]
  },
  {
    title: 'a member that has heard a part of what both epochs share goes on behind that part',
    heard: 36,
    shared: 38,
    sent: [{ epoch: NEW, from: 36, to: 36 }, 37, 38, 39, 40]
  },
  {
    title: 'a member that has heard more than the new epoch has is told of a loss',
    heard: 38,
    shared: 36,
    sent: [{ epoch: NEW, to: 36 }, 37, 38, 39, 40]
  },
  {
    title: 'a member is told of a loss where nobody knows what both epochs share behind its node',
    heard: 38,
    shared: undefined,
    sent: [{ epoch: NEW, to: 34 }, 35, 36, 37, 38, 39, 40]
  },
  {
    title: 'which lost events, a member that has heard all that both share is told so, and hears none of that again',
    heard: 38,
    shared: 38,
    isLossy: true,
    sent: [{ epoch: NEW, to: 38 }, 39, 40]
  },
  {
    title: 'which lost events, a member that has heard as much as its node is told so by its node',
    heard: 34,
    shared: 38,
    isLossy: true,
    sent: [{ epoch: NEW, to: 34 }, 35, 36, 37, 38, 39, 40]
  },
  {
    title: 'a member that has heard as much as its node goes on with its node',
    heard: 34,
    shared: 38,
    sent: [{ epoch: NEW, from: 34, to: 34 }, 35, 36, 37, 38, 39, 40]
  }
]

for (const { title, heard, shared, isLossy, sent: expected } of cases) {
  void t.test(`when a room goes on in a new epoch, ${title}`, (t: Test) => {
    const { room, sent } = entered(heard)
    room.gap({ epoch: NEW, ...(isLossy === true ? {} : { from: 34 }), to: 34 }, shared)
    publish(room, 35, 40)
    t.same(sent, expected)
    t.end()
  })
}

void t.test('a member that came in an epoch of which its node never knew is told of a loss by the next epoch', (t) => {
  const { room, membership, sent } = entered(38)
  membership.position = { epoch: 'mnopqrst', offset: 38 }
  room.gap({ epoch: NEW, from: 34, to: 34 }, 38)
  publish(room, 35, 36)
  t.same(sent, [{ epoch: NEW, to: 34 }, 35, 36])
  t.end()
})
