import t from 'tap'
import { Repeats } from '../../../lib/adapters/broker/repeats.js'
import { FollowedStream, type Arrival } from '../../../lib/adapters/broker/tail.js'
import { Streams } from '../../../lib/adapters/history/stream.js'
import { encodeEvent } from '../../../lib/protocol/packet.js'

t.test('an event that the broker took again after a loss is a gap to who has not heard it', async (t) => {
  const told: string[] = []
  const repeats = new Repeats(60_000)
  const tail = new FollowedStream({
    room: 'chat/1',
    limits: { size: 10, ttl: 60_000 },
    streams: new Streams(1_000_000, 10),
    host: { gap: (_room, { from, to }) => { told.push(`gap ${from} ${to}`) } },
    isNew: (room, identity) => repeats.isNew(room, identity),
    deliver: (_room, { position }) => { told.push(`event ${position!.offset}`) },
    read: async () => { throw new Error('nothing is to be read') },
    onRepair: () => undefined
  })
  t.teardown(() => { tail.close() })
  tail.open({ epoch: 'abcdefgh', offset: 4 })
  repeats.isNew('chat/1', 'heard before')
  for (const [offset, previous, identity] of [[5, 4, 'a'], [8, 5, 'heard before'], [9, 8, 'b']] as const) {
    const position = { epoch: 'abcdefgh', offset }
    tail.accept({
      ...position,
      previous,
      origin: 'o',
      identity,
      size: 10,
      packet: () => encodeEvent({ type: 'said', room: 'chat/1', delivery: 'reliable', timestamp: 1, position }, '{}')
    }, true)
  }
  t.same(told, ['event 5', 'gap 5 8', 'event 9'])
})

t.test('an event under a key that is not remembered any more is another one', async (t) => {
  const [lasting, over] = [new Repeats(60_000), new Repeats(0)]
  t.same([1, 2].map(() => lasting.isNew('chat/1', 'daily')), [true, false])
  t.same([1, 2].map(() => over.isNew('chat/1', 'daily')), [true, true])
})

t.test('a new epoch that lost nothing is told of with all that it shares, since members may be ahead of this node', async (t) => {
  const [OLD, NEW] = ['abcdefgh', 'ijklmnop']
  const told: unknown[] = []
  const tail = new FollowedStream({
    room: 'chat/1',
    limits: { size: 10, ttl: 60_000 },
    streams: new Streams(1_000_000, 10),
    host: { gap: (_room, gap, shared) => { told.push({ ...gap, shared }) } },
    deliver: () => undefined,
    read: async () => ({ epoch: NEW, top: 34, floor: 0, before: [{ epoch: OLD, offset: 38 }], events: [] }),
    onRepair: () => undefined
  })
  t.teardown(() => { tail.close() })
  tail.open({ epoch: OLD, offset: 34 })
  tail.check({ epoch: NEW, offset: 34 })
  await new Promise(setImmediate)
  t.same(told, [{ epoch: NEW, from: 34, to: 34, shared: 38 }])
})

t.test('who has heard more elsewhere is met when that has been delivered here, whether it came or had to be read', async (t) => {
  const epoch = 'abcdefgh'
  const arrivalOf = (offset: number): Arrival => {
    const position = { epoch, offset }
    return {
      ...position,
      previous: offset - 1,
      origin: 'o',
      size: 10,
      packet: () => encodeEvent({ type: 'said', room: 'chat/1', delivery: 'reliable', timestamp: 1, position }, '{}')
    }
  }
  const told: unknown[] = []
  const tail = new FollowedStream({
    room: 'chat/1',
    limits: { size: 10, ttl: 60_000 },
    streams: new Streams(1_000_000, 10),
    host: { gap: (_room, gap) => { told.push(gap) } },
    deliver: (_room, { position }) => { told.push(position!.offset) },
    read: async (since) => {
      told.push('read')
      const events = [5, 6, 7].filter((offset) => offset > since).map(arrivalOf)
      return { epoch, top: 7, floor: 0, before: [], events }
    },
    onRepair: () => undefined
  })
  t.teardown(() => { tail.close() })
  const top = { epoch, offset: 5 }
  t.notOk(tail.isBehind(top), 'before it is open it stands nowhere')
  tail.open({ epoch, offset: 4 })
  t.notOk(tail.isBehind({ epoch, offset: 4 }))
  t.notOk(tail.isBehind({ epoch: 'ijklmnop', offset: 9 }), 'what is of another epoch is another matter')
  t.notOk(tail.isBehind(undefined))
  t.ok(tail.isBehind(top))
  const met = tail.meet(top, top).then(() => { told.push('met') })
  await new Promise(setImmediate)
  t.same(told, [])
  tail.accept(arrivalOf(5), true)
  await met
  t.same(told, [5, 'met'])
  await tail.meet({ epoch, offset: 9 }, { epoch, offset: 7 })
  t.same(told.slice(2), ['read', 6, 7], 'what does not come is read, what is nowhere is not waited for')
})

t.test('who has waited long enough for an event that does not come is not kept', async (t) => {
  const tail = new FollowedStream({
    room: 'chat/1',
    limits: { size: 10, ttl: 60_000 },
    streams: new Streams(1_000_000, 10),
    host: { gap: () => undefined },
    deliver: () => undefined,
    read: async () => { throw new Error('refused') },
    onRepair: () => undefined
  })
  t.teardown(() => { tail.close() })
  tail.open({ epoch: 'abcdefgh', offset: 4 })
  const late = tail.reached(99, 60_000)
  await Promise.all(Array.from({ length: 100 }, async (_, index) => { await tail.reached(5 + index, 1) }))
  t.equal(tail.waiting, 1)
  tail.close()
  await late
  t.equal(tail.waiting, 0)
})
