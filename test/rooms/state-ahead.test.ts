import t from 'tap'
import { Type } from '@sinclair/typebox'
import type { HistoryPage } from '../../lib/adapters/adapter.js'
import { defineRoom } from '../../lib/contract/index.js'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import type { Position } from '../../lib/protocol/position.js'
import { Retention } from '../../lib/retention/retention.js'
import { declare } from '../../lib/rooms/declaration.js'
import { Room } from '../../lib/rooms/room.js'
import { Walks } from '../../lib/rooms/walks.js'

const definition = defineRoom('r', {
  events: {
    e: Type.Number(),
    at: { data: Type.Object({ id: Type.String(), x: Type.Number() }), delivery: 'latest', key: 'id' }
  }
})
const OLD = 'abcdefgh'
const FIRST = 34

function event (offset: number): Packet {
  const position = { epoch: OLD, offset }
  return encodeEvent({ type: 'e', room: 'r', timestamp: 0, delivery: 'reliable', position }, String(offset))
}

function value (x: number, version: number, key = 'a'): Packet {
  return encodeEvent(
    { type: 'at', room: 'r', timestamp: 0, delivery: 'latest', key, version },
    JSON.stringify({ id: key, x })
  )
}

/** A room of a node that has heard 34 events, and the value x = 1 before the last of them. */
class Node {
  readonly room: Room
  readonly reads: number[] = []
  /** Events of the broker. */
  top = FIRST
  #met: Array<() => void> = []

  constructor (large = 1_000) {
    const declaration = declare(definition, {}, {}, { history: { size: 100, ttl: 300_000 } }, undefined)
    this.room = new Room('r', declaration, {}, {
      retention: new Retention(1_000_000),
      walks: new Walks({ large, slice: 5 }),
      source: { history: async ({ since }) => await this.#page(since!) }
    })
    this.room.stands({ epoch: OLD, offset: FIRST })
    this.room.opened([value(1, 1)])
  }

  /** Reads the broker, and waits for the node where the reader is ahead of it, as adapters do. */
  async #page (since: Position): Promise<HistoryPage> {
    this.reads.push(since.offset)
    const { top } = this
    const events = Array.from({ length: top - since.offset }, (_, index) => event(since.offset + 1 + index))
    while (since.offset > this.room.top) await new Promise<void>((resolve) => { this.#met.push(resolve) })
    return { resumed: true, events, top: { epoch: OLD, offset: top }, floor: { epoch: OLD, offset: 0 } }
  }

  enters (since: number, version?: number): unknown[] {
    const sent: unknown[] = []
    const { membership } = this.room.add({
      id: 'c',
      userId: 'u',
      isOpen: true,
      send: ({ payload }: Packet) => {
        const { type, offset, data } = JSON.parse(payload.toString()) as Record<string, unknown>
        sent.push(type === 'at' ? `x ${(data as { x: number }).x}` : offset)
        return true
      },
      whenDrained: () => undefined
    }, {
      since: { epoch: OLD, offset: since },
      resumed: true,
      snapshot: undefined,
      former: undefined,
      version,
      isReturn: true
    })
    this.room.start(membership, [])
    return sent
  }

  async hears (...packets: readonly Packet[]): Promise<void> {
    for (const packet of packets) void this.room.event(packet)
    for (const resolve of this.#met.splice(0)) resolve()
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
}

t.test('who reads more than its node has heard is shown the state once the node has heard as much', async (t) => {
  const node = new Node()
  node.top = 36
  const sent = node.enters(30)
  await node.hears()
  t.same(sent, [31, 32, 33, 34, 35, 36], 'nothing of the older state')
  await node.hears(value(2, 2), event(35))
  t.same(sent.slice(6), [])
  await node.hears(event(36))
  t.same(sent.slice(6), ['x 2'])
  await node.hears(event(37), value(3, 3))
  t.same(sent.slice(6), ['x 2', 37, 'x 3'])
  t.same(node.reads, [30, 36])
})

t.test('who reads as much as its node has heard is shown the state at once', async (t) => {
  const node = new Node()
  const sent = node.enters(33)
  await node.hears()
  t.same(sent, [34, 'x 1'])
  t.same(node.reads, [33])
})

for (const large of [1_000, 0]) {
  t.test(`in a ${large === 0 ? 'large' : 'small'} room who knows newer values than its node is told none that is older, and each that is newer`, async (t) => {
    const node = new Node(large)
    const [sent, other] = [node.enters(FIRST, 3), node.enters(FIRST)]
    await node.hears(value(2, 2), value(3, 3), value(4, 4))
    t.same(sent, ['x 4'])
    t.same(other, ['x 1', 'x 2', 'x 3', 'x 4'])
  })
}

t.test('who knows the values of its node is told a value that its node has missed', async (t) => {
  const node = new Node()
  const sent = node.enters(FIRST, 3)
  await node.hears(value(5, 5))
  const later = node.enters(FIRST, 5)
  await node.hears(value(1, 4, 'b'))
  t.same([sent, later], [['x 5', 'x 1'], ['x 1']])
})

t.test('what a member knows by its version does not count for ever, since the broker may have lost its data', async (t) => {
  const node = new Node()
  const sent = node.enters(FIRST, 100)
  await node.hears(value(2, 2))
  t.same(sent, [])
  await new Promise((resolve) => { setTimeout(resolve, 5_000) })
  await node.hears(value(3, 3))
  t.same(sent, ['x 3'])
})
