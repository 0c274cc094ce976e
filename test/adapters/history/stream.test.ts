import fc from 'fast-check'
import t from 'tap'
import { Streams } from '../../../lib/adapters/history/stream.js'
import { encodeEvent, type Packet } from '../../../lib/protocol/packet.js'
import { matchList } from '../../helpers/match-list.js'

const LIMITS = { size: 100, ttl: 60_000 }
const NEVER = { size: 100, ttl: Number.MAX_SAFE_INTEGER }

function event (room: string, position: { epoch: string, offset: number }, timestamp: number, text = 'x'): Packet {
  return encodeEvent({ type: 'said', room, delivery: 'reliable', timestamp, position }, JSON.stringify(text))
}

function publish (streams: Streams, room: string, now: number, text?: string, limits = LIMITS): void {
  const stream = streams.open(room, now)
  streams.append(room, stream, event(room, stream.next, now, text), limits, now)
}

t.test('events of rooms that nobody touches leave memory when their time is over', async (t) => {
  const streams = new Streams(64 * 1024 * 1024, 100_000)
  for (let index = 0; index < 5_000; index++) publish(streams, `r/${index}`, 0)
  t.ok(streams.bytes > 0)
  for (let now = 0; now <= 61_500; now += 500) while (streams.sweep(now, 100));
  t.equal(streams.bytes, 0)
  t.equal(streams.size, 5_000, 'where they stood is remembered')
  for (let now = 61_500; streams.size > 0 && now < 90_000_000; now += 100_000) while (streams.sweep(now, 1_000));
  t.equal(streams.size, 0, 'for a day')
})

t.test(
  'publishing past the budget loses a few events at a time, the oldest of a room that holds most, whatever the number of rooms',
  async (t) => {
    const streams = new Streams(1_000_000, 100_000)
    for (let round = 0; round < 5; round++) {
      for (let index = 0; index < 2_000; index++) publish(streams, `r/${index}`, 0, 'x', NEVER)
    }
    const before = streams.evicted
    const held = streams.bytes
    publish(streams, 'r/77', 0, 'x', NEVER)
    t.ok(streams.evicted - before <= 2, `${streams.evicted - before} at once`)
    t.ok(streams.bytes <= 1_000_000 && held <= 1_000_000)
    for (let index = 0; index < 100; index++) publish(streams, 'big', 0, 'x'.repeat(2_000), NEVER)
    t.ok(streams.peek('big')!.bytes < 10_000, 'the one that grows is the one that pays')
  }
)

t.test(
  'a read of a room that nobody entered or published to leaves nothing behind, and its position leads into the room when it is born',
  async (t) => {
    const streams = new Streams(1_000_000, 100)
    const top = streams.look('r/1').top
    for (let index = 0; index < 10_000; index++) streams.look(`r/${index}`)
    t.equal(streams.size, 0)
    publish(streams, 'r/1', 0)
    t.equal(streams.peek('r/1')!.covers(top), true)
    t.equal(streams.peek('r/1')!.read({ since: top, limit: 10 }).events.length, 1)
  }
)

t.test('a room that was forgotten never has its epoch again', async (t) => {
  const streams = new Streams(1_000_000, 2)
  publish(streams, 'r/1', 0)
  const { epoch } = streams.peek('r/1')!
  for (let index = 2; index < 5; index++) publish(streams, `r/${index}`, 0)
  t.equal(streams.peek('r/1'), undefined, 'the least recently used goes at the bound')
  publish(streams, 'r/1', 0)
  t.not(streams.peek('r/1')!.epoch, epoch)
})

t.test('rooms without an event are forgotten first and soon, pinned ones never', async (t) => {
  const streams = new Streams(1_000_000, 10)
  streams.pin('pinned', 0)
  publish(streams, 'said', 0)
  for (let index = 0; index < 50; index++) streams.open(`empty/${index}`, 0)
  t.equal(streams.size, 10)
  t.ok(streams.peek('pinned') !== undefined && streams.peek('said') !== undefined)
  streams.sweep(300_001, 1_000)
  t.equal(streams.size, 2)
  streams.sweep(86_400_001, 1_000)
  t.equal(streams.size, 1)
  streams.unpin('pinned', 86_400_001)
  streams.sweep(86_800_000, 1_000)
  t.equal(streams.size, 0)
})

t.test('events that are kept for longer than a day are there until their time is over, also in a room that nobody uses', async (t) => {
  const streams = new Streams(1_000_000, 100)
  const [day, week] = [86_400_000, 7 * 86_400_000]
  publish(streams, 'inbox', 0, 'x', { size: 100, ttl: week })
  publish(streams, 'hall', 0)
  const { epoch } = streams.peek('inbox')!
  const sweepUntil = (from: number, to: number): void => {
    for (let now = from; now <= to; now += 100_000) while (streams.sweep(now, 1_000));
  }
  sweepUntil(0, week - 200_000)
  t.equal(streams.peek('hall'), undefined)
  matchList(t, streams.peek('inbox')?.read({ since: { epoch, offset: 0 }, limit: 10 }), { resumed: true, events: [{}] })
  sweepUntil(week - 100_000, week + 2 * day)
  t.equal(streams.size, 0)
  t.equal(streams.bytes, 0)
})

t.test('latest values count in the same budget, and end at their time', async (t) => {
  const streams = new Streams(100_000, 1_000)
  const set = (room: string, key: string, now: number, version: number): void => {
    streams.setLatest(
      room,
      encodeEvent(
        { type: 'score', room, delivery: 'latest', timestamp: now, key, version },
        JSON.stringify('x'.repeat(500))
      ),
      60_000,
      now
    )
  }
  for (let index = 0; index < 1_000; index++) set(`r/${index % 20}`, `k${index}`, 0, index)
  t.ok(streams.bytes <= 100_000 && streams.evicted > 900, `${streams.bytes} ${streams.evicted}`)
  set('r/1', 'k', 0, 5_000)
  t.equal(streams.latest('r/1', 59_999).at(-1)?.event?.key, 'k')
  t.same(streams.latest('r/1', 60_000), [])
  for (let now = 0; now <= 61_500; now += 500) while (streams.sweep(now, 100));
  t.equal(streams.bytes, 0)
})

t.test(
  'property: whatever is published to whatever room, a stream is a run of offsets up to its top, within number and bytes',
  async (t) => {
    const steps = fc.array(
      fc.record({
        room: fc.nat(7),
        text: fc.string({ maxLength: 300 }),
        wait: fc.nat(20_000),
        isSweeping: fc.boolean()
      }),
      { maxLength: 150 }
    )
    fc.assert(fc.property(steps, fc.integer({ min: 500, max: 20_000 }), (list, budget) => {
      const streams = new Streams(budget, 5)
      let now = 1_000_000
      for (const { room, text, wait, isSweeping } of list) {
        now += wait
        publish(streams, `r/${room}`, now, text, { size: 10, ttl: 60_000 })
        if (isSweeping) while (streams.sweep(now, 5));
        let sum = 0
        for (let index = 0; index < 8; index++) {
          const stream = streams.peek(`r/${index}`)
          if (stream === undefined) continue
          sum += stream.bytes
          const offsets = stream.read({ last: 100, limit: 100 }).events.map((packet) => packet.position!.offset)
          if (offsets.length !== stream.length || stream.length > 10) return false
          if (offsets.some((offset, at) => offset !== stream.top.offset - offsets.length + 1 + at)) return false
          if (stream.floor.offset !== stream.top.offset - offsets.length) return false
        }
        if (sum !== streams.bytes || sum > budget || streams.size > 5) return false
      }
      return true
    }), { numRuns: 150 })
    t.pass('150 runs')
  }
)
