import { Type } from '@sinclair/typebox'
import t from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { Streams } from '../../lib/adapters/history/stream.js'
import { defineRoom } from '../../lib/contract/index.js'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import { Latest } from '../../lib/retention/latest.js'
import { declare } from '../../lib/rooms/declaration.js'
import { Hub } from '../../lib/rooms/hub.js'
import type { Member } from '../../lib/rooms/member.js'

const ROOM = 'board/1'
const TTL = 60_000
const LIMITS = { size: 100, ttl: TTL }
const HOUR = 3_600_000
const board = defineRoom('board/:id', {
  events: {
    score: { data: Type.Object({ team: Type.String(), points: Type.Integer() }), delivery: 'latest', key: 'team' }
  }
})

/** A value that a node set whose clock is off by so much. */
function score (points: number, off = 0, age?: number): Packet {
  const timestamp = Date.now() + off
  const head = { type: 'score', room: ROOM, delivery: 'latest', timestamp, key: 'red', version: points, age } as const
  return encodeEvent(head, JSON.stringify({ team: 'red', points }))
}

function pointsOf (packet: Packet): number {
  return (JSON.parse(packet.payload.toString()) as { data: { points: number } }).data.points
}

class Watcher implements Member {
  readonly id = 'A'.repeat(22)
  readonly userId = 'ada'
  readonly isOpen = true
  readonly points: number[] = []
  send (packet: Packet): boolean {
    this.points.push(pointsOf(packet))
    return true
  }

  whenDrained (): void {}
}

for (const [where, off] of [['behind', -HOUR], ['ahead', HOUR]] as const) {
  t.test(`a value of a node whose clock is an hour ${where} is shown to a poll that goes on`, async (t) => {
    const adapter: Adapter = {
      name: 'scripted',
      start: async () => undefined,
      close: async () => undefined,
      publish: async () => ({ recipients: 0 }),
      subscribe: () => undefined,
      unsubscribe: () => undefined,
      latest: () => []
    }
    const rooms = new Hub(adapter, {
      presence: { lease: 60_000, grace: 0 },
      presenceList: 10,
      eventLimit: 1_000,
      validateOutput: true,
      onError: (error) => { throw error },
      onUnhandled: (error) => { throw error }
    })
    rooms.declarations.add(declare(board, {}, { history: LIMITS }, { history: false }, undefined))
    const [there, polling] = [new Watcher(), new Watcher()]
    const found = rooms.resolve(ROOM)
    for (const watcher of [there, polling]) {
      const { membership, start } = (await rooms.join(ROOM, found, {}, 'ada')).commit(watcher)
      start()
      if (watcher === polling) membership.park()
    }
    rooms.host.event(ROOM, score(1, off))
    t.same(there.points, [1])
    const [, parked] = rooms.get(ROOM)!.members
    const { start } = await rooms.rejoin(parked!, { version: 0 })
    start()
    t.same(polling.points, [1])
  })

  t.test(`an event of a node whose clock is an hour ${where} is kept as long as one of a node whose clock is right`, async (t) => {
    const streams = new Streams(1_000_000, 10)
    const stream = streams.open(ROOM, 0)
    const position = stream.next
    const timestamp = off
    const packet = encodeEvent({ type: 'said', room: ROOM, delivery: 'reliable', timestamp, position }, '"x"')
    streams.append(ROOM, stream, packet, LIMITS, 0)
    streams.expire(stream, TTL, TTL - 1)
    t.equal(stream.length, 1)
    streams.expire(stream, TTL, TTL)
    t.equal(stream.length, 0)
  })
}

t.test('what had been kept elsewhere before it was read here ends when its time is over', async (t) => {
  const latest = new Latest(TTL)
  latest.set(score(1, 0, TTL - 1_000), 0)
  t.same([...latest.packets(999)].map(pointsOf), [1])
  t.same([...latest.aged(500)].map(({ event }) => event!.age), [TTL - 500], 'it is handed on with its age')
  t.same([...latest.packets(1_000)], [])
  const streams = new Streams(1_000_000, 10)
  const stream = streams.open(ROOM, 0)
  const head = { type: 'said', room: ROOM, delivery: 'reliable', timestamp: 0, age: TTL - 1_000 } as const
  streams.append(ROOM, stream, encodeEvent({ ...head, position: stream.next }, '"x"'), LIMITS, 0)
  streams.expire(stream, TTL, 999)
  t.equal(stream.length, 1)
  streams.expire(stream, TTL, 1_000)
  t.equal(stream.length, 0)
})
