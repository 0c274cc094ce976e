import zlib from 'node:zlib'
import t, { type Test } from 'tap'
import { until } from '../../lib/adapters/contract/until.js'
import { Compressor } from '../../lib/connection/compressor.js'
import { Flusher } from '../../lib/connection/flusher.js'
import { Outbox } from '../../lib/connection/outbox.js'
import type { Link } from '../../lib/connection/link.js'
import type { OutboxCounters } from '../../lib/connection/outbox.js'
import type { Packet } from '../../lib/protocol/packet.js'
import { event, FakeLink, HandCompressor, HandFlusher, KeepingLink, newCounters, pong, turn } from './fakes.js'
import { letGo } from '../helpers/garbage.js'

interface Made {
  readonly link: FakeLink
  readonly counters: OutboxCounters
  readonly flusher: Flusher
  readonly outbox: Outbox
  readonly cuts: { count: number }
}

function make (limit = 1_000_000, link = new FakeLink(), flusher = new Flusher()): Made {
  const counters = newCounters()
  const cuts = { count: 0 }
  const outbox = new Outbox(link, { flusher, counters, outboxLimit: limit }, { cut: () => { cuts.count++ } })
  return { link, counters, flusher, outbox, cuts }
}

const addsUp = (t: Test, { counters, outbox }: Made): void => {
  const { meant, delivered, resumed, conflated, dropped, gone, queued, waiting, waitingBytes } = counters
  t.same({ queued, waiting, waitingBytes }, {
    queued: outbox.events,
    waiting: outbox.frames,
    waitingBytes: outbox.bytes
  })
  t.equal(delivered + resumed + conflated + dropped + gone + outbox.events, meant, 'the ledger adds up')
}

t.test('frames of one turn leave as one write at its end, in order', async (t) => {
  const made = make()
  for (let i = 1; i <= 20; i++) made.outbox.push(event(i))
  made.outbox.push(pong)
  t.same(made.link.writes, [])
  t.equal(made.outbox.frames, 21)
  addsUp(t, made)
  await turn()
  t.equal(made.link.writes.length, 1)
  t.equal(made.link.writes[0]!.split('"data":').length - 1, 20)
  t.match(made.link.writes[0], /"data":1,.*"data":20,.*\{"type":"pong"\}$/)
  t.match(made.counters, { meant: 20, delivered: 20, framesOut: 21, writes: 1 })
  t.equal(made.outbox.bytes, 0)
  addsUp(t, made)
})

t.test('frames that have left are let go at the end of their turn, also those that did not wait for it', async (t) => {
  const outboxes = [make(), make()]
  const left: Array<WeakRef<Packet>> = []
  const send = (bytes: number): void => {
    const packet = event(1, {}, bytes)
    left.push(new WeakRef(packet))
    for (const { outbox } of outboxes) outbox.push(packet)
  }
  for (const bytes of [10, 70_000, 70_000, 70_000]) {
    send(bytes)
    await turn()
  }
  await letGo(left)
  for (const { link: { writes } } of outboxes) t.equal(writes.length, 4)
})

t.test('connections with the same frames pending share one buffer, others do not', async (t) => {
  const flusher = new Flusher()
  const written: Uint8Array[] = []
  const [a, b, c] = [
    make(1e6, new KeepingLink(written), flusher),
    make(1e6, new KeepingLink(written), flusher),
    make(1e6, new KeepingLink(written), flusher)
  ]
  const [one, two] = [event(1), event(2)]
  for (const { outbox } of [a, b]) for (const packet of [one, two]) outbox.push(packet)
  for (const packet of [two, one]) c.outbox.push(packet)
  await turn()
  t.equal(written.length, 3)
  t.equal(written[0], written[1])
  t.notOk(Buffer.from(written[0]!).equals(Buffer.from(written[2]!)))
})

t.test('while a connection waits for a window, frames that have left on others are let go', async (t) => {
  const flusher = new HandFlusher()
  const [waiting, other, third] = [0, 1, 2].map(() => make(1e6, new FakeLink(), flusher)) as [Made, Made, Made]
  const left: Array<WeakRef<Packet>> = []
  const leaves = (data: number): Packet => {
    const packet = event(data)
    left.push(new WeakRef(packet))
    return packet
  }
  for (const data of [10, 20, 30]) {
    const gathered = event(data)
    for (const { outbox } of [waiting, other]) outbox.push(gathered, 60_000)
    third.outbox.push(leaves(data + 1))
    for (const { outbox } of [other, third]) outbox.push(leaves(data + 2), 60_000)
    other.outbox.push(leaves(data + 3))
    third.outbox.push(leaves(data + 4))
    await turn()
  }
  await letGo(left)
  t.equal(left.length, 15)
  t.same(waiting.link.seen, [])
  flusher.endWindows()
  await turn()
  t.same(waiting.link.seen, [10, 20, 30])
  t.same(other.link.seen, [10, 12, 13, 20, 22, 23, 30, 32, 33])
})

t.test('connections that wait for a window share one buffer, also where they are reached in two turns', async (t) => {
  const flusher = new HandFlusher()
  const written: Uint8Array[] = []
  const [a, b] = [make(1e6, new KeepingLink(written), flusher), make(1e6, new KeepingLink(written), flusher)]
  for (const packet of [event(1), event(2)]) {
    for (const { outbox } of [a, b]) {
      outbox.push(packet, 60_000)
      await turn()
    }
  }
  flusher.endWindows()
  await turn()
  t.equal(written.length, 2)
  t.equal(written[0], written[1])
})

t.test('more than 64 KiB in one turn do not wait for its end', async (t) => {
  const made = make()
  made.outbox.push(event(1, {}, 40_000))
  t.equal(made.link.writes.length, 0)
  made.outbox.push(event(2, {}, 40_000))
  t.equal(made.link.writes.length, 1)
})

t.test('a flush window holds the queue back, and a frame without window takes it along', async (t) => {
  const made = make()
  made.outbox.push(event(1), 10_000)
  await turn()
  t.same(made.link.seen, [], 'it waits for others')
  made.outbox.push(pong)
  await turn()
  t.equal(made.link.writes.length, 1)
  t.match(made.link.writes[0], /"data":1,.*pong/)
  made.outbox.push(event(2), 10_000)
  made.flusher.close()
  t.same(made.link.seen.at(-1), 2, 'nothing is kept when the flusher closes')
})

t.test('windows of one length end together', async (t) => {
  const flusher = new Flusher()
  const [a, b] = [make(1e6, new FakeLink(), flusher), make(1e6, new FakeLink(), flusher)]
  a.outbox.push(event(1), 5)
  b.outbox.push(event(2), 5)
  a.outbox.push(event(3), 5)
  await new Promise((resolve) => { setTimeout(resolve, 5) })
  await turn()
  await turn()
  t.same([a.link.seen, b.link.seen], [[1, 3], [2]])
})

t.test('a short window does not wait for a longer one that began before it', async (t) => {
  const { link, outbox, flusher } = make()
  t.teardown(() => { flusher.close() })
  outbox.push(event(1), 60_000)
  outbox.push(event(2), 5)
  await until('it has left', () => link.writes.length > 0)
  t.same(link.seen, [1, 2])
})

t.test('an outbox is in a window once, however often it is flushed before that ends', async (t) => {
  const flusher = new Flusher()
  let flushes = 0
  const outbox = { flush: () => { flushes++ } }
  for (let n = 0; n < 3; n++) flusher.later(outbox, 5)
  await until('the window has ended', () => flushes > 0)
  await turn()
  t.equal(flushes, 1)
})

t.test('bytes that are no packet go behind everything queued', async (t) => {
  const made = make()
  made.outbox.push(event(1))
  made.outbox.raw(Buffer.from('beat:x'))
  t.equal(made.link.writes.length, 2)
  t.same(made.link.seen, [1, 'beat:x'])
  made.link.isFull = true
  made.outbox.push(event(2))
  await turn()
  made.outbox.raw(Buffer.from('beat:y'))
  t.equal(made.link.seen.includes('beat:y'), false, 'none fits into a full link')
})

t.test('while the link lags events wait in order; each drain takes 64 KiB of them', async (t) => {
  const made = make()
  made.link.isFull = true
  made.outbox.push(event(1))
  await turn()
  t.ok(made.outbox.isLagging)
  for (let i = 2; i <= 7; i++) t.equal(made.outbox.push(event(i, {}, 30_000)), false)
  t.same(made.link.seen, [1])
  addsUp(t, made)
  made.outbox.drained()
  t.same(made.link.seen, [1, 2, 3])
  made.link.isFull = false
  made.outbox.drained()
  t.same(made.link.seen, [1, 2, 3, 4, 5, 6, 7])
  t.equal(made.outbox.isLagging, false)
  t.equal(made.counters.delivered, 7)
  t.equal(made.outbox.bytes, 0)
})

t.test(
  'in a lagging outbox the newer latest value of a key removes the older and goes to the end; volatile events are dropped',
  async (t) => {
    const made = make()
    made.link.isFull = true
    made.outbox.push(pong)
    await turn()
    const latest = (data: number, key: string, room = 'r'): void => {
      made.outbox.push(event(data, { delivery: 'latest', key, room }))
    }
    latest(1, 'a')
    latest(2, 'b')
    latest(3, 'a', 'other')
    made.outbox.push(event(4))
    latest(5, 'a')
    made.outbox.push(event(6, { delivery: 'volatile' }))
    made.outbox.push(event(7, { type: 'f', delivery: 'latest', key: 'a' }))
    t.match(made.counters, { meant: 7, conflated: 1, dropped: 1 })
    addsUp(t, made)
    made.link.isFull = false
    made.outbox.drained()
    t.same(made.link.seen, ['pong', 'beat:pace', 2, 3, 4, 5, 7], 'and the peer is asked how far it is')
    addsUp(t, made)
    made.outbox.push(event(8, { delivery: 'latest', key: 'a' }))
    made.outbox.push(event(9, { delivery: 'latest', key: 'a' }))
    made.outbox.push(event(10, { delivery: 'volatile' }))
    await turn()
    t.same(made.link.seen.slice(-3), [8, 9, 10], 'a link that keeps up gets all of them')
  }
)

for (const transport of ['sse', 'websocket'] as const) {
  t.test(
    `over ${transport}: what waits for a window when its reader says that it reads late leaves before what comes behind it, or is replaced by it`,
    async (t) => {
      const flusher = new HandFlusher()
      const made = make(1_000_000, new FakeLink(transport), flusher)
      const latest = (data: number, key: string): void => {
        made.outbox.push(event(data, { delivery: 'latest', key }), 250)
      }
      latest(1, 'a')
      flusher.endWindows()
      await turn()
      for (const [data, key] of [[2, 'a'], [3, 'b'], [4, 'b']] as const) latest(data, key)
      made.outbox.push(event(5), 250)
      made.outbox.late(performance.now())
      addsUp(t, made)
      latest(6, 'a')
      flusher.endWindows()
      await turn()
      t.equal(made.outbox.events, 3, 'nothing more is on its way to a reader that is late')
      made.outbox.taken(performance.now())
      t.same(made.link.seen.filter((value) => typeof value === 'number'), [1, 4, 5, 6])
      t.match(made.counters, { delivered: 4, conflated: 2 })
      addsUp(t, made)
    }
  )
}

t.test(
  'heartbeats, pings and answers to pings wait behind a frame that is being compressed, and leave with it',
  async (t) => {
    const compressor = new HandCompressor()
    const made = make(1_000_000, new FakeLink('websocket', compressor))
    made.outbox.push(event(1, {}, 20_000))
    made.outbox.raw(Buffer.from('beat:life '))
    for (let n = 1; n <= 17; n++) {
      made.outbox.reply(Buffer.from(`beat:answer${n} `))
      await turn()
    }
    made.outbox.raw(Buffer.from('beat:app '))
    t.same(made.link.writes, [])
    await compressor.finish()
    const answers = Array.from({ length: 15 }, (_, n) => `beat:answer${n + 1}`)
    t.same(made.link.seen, [1, 'beat:life', 'beat:app', ...answers, 'beat:answer17'])
    made.outbox.raw(Buffer.from('beat:next '))
    await turn()
    t.equal(made.link.seen.at(-1), 'beat:next')
    t.equal(made.link.seen.length, 20, 'each leaves once')
  }
)

const noMemory = (): Error => new Error('Z_MEM_ERROR')
for (const [when, name, fault, sizes] of [
  ['while it works', '_transform', {
    value: (_bytes: unknown, _encoding: unknown, done: (error: Error) => void) => { done(noMemory()) }
  }, [20_000]],
  ['when it begins', '_finishFlushFlag', { set: () => { throw noMemory() } }, [20_000, 2_000]]
] as const) {
  t.test(`a frame for which zlib gets no memory ${when} goes out as it is, and those behind it follow`, async (t) => {
    const { prototype } = zlib.DeflateRaw as unknown as { prototype: object }
    Object.defineProperty(prototype, name, { configurable: true, ...fault })
    t.teardown(() => Reflect.deleteProperty(prototype, name))
    const compressor = new Compressor(1_000)
    for (const size of sizes) {
      const packet = event(1, {}, size)
      await compressor.get(packet)
      t.equal(compressor.get(packet), packet.bytes)
    }
    const made = make(1_000_000, new FakeLink('websocket', compressor))
    for (const [index, size] of sizes.entries()) made.outbox.push(event(index, {}, size))
    await turn()
    made.outbox.push(pong)
    await until('all has left', () => made.outbox.frames === 0)
    t.same(made.link.seen, [...sizes.keys(), 'pong'])
    addsUp(t, made)
  })
}

t.test('the last flush takes along the answers behind a frame that is still being compressed', async (t) => {
  const made = make(1_000_000, new FakeLink('websocket', new HandCompressor()))
  made.outbox.push(event(1, {}, 20_000))
  made.outbox.reply(Buffer.from('beat:answer '))
  await turn()
  made.outbox.flush(true)
  made.outbox.drop()
  t.same(made.link.seen, [1, 'beat:answer'])
})

t.test('past its bound the owner is told to cut, and dropping gives everything back', async (t) => {
  const made = make(100_000)
  made.link.isFull = true
  made.outbox.push(event(0))
  await turn()
  for (let i = 1; i <= 9; i++) made.outbox.push(event(i, {}, 10_000))
  t.equal(made.cuts.count, 0)
  made.outbox.push(event(10, {}, 10_000))
  t.equal(made.cuts.count, 1)
  let told = 0
  made.outbox.whenDrained(() => { told++ })
  made.outbox.drop()
  made.outbox.drop()
  t.equal(told, 1, 'who waits for room is told that there will be none')
  t.equal(made.counters.gone, 10)
  t.equal(made.outbox.events, 0)
  addsUp(t, made)
  t.equal(made.outbox.push(event(11)), false)
  made.outbox.drained()
  made.outbox.raw(Buffer.from('beat:z'))
  made.outbox.flush()
  t.equal(made.counters.meant, 11, 'nothing is offered to what has ended')
  t.equal(made.link.writes.length, 1)
})

t.test('of readers that wait for room those that have had nothing come first, else in the order in which they came', async (t) => {
  const made = make()
  made.link.isFull = true
  made.outbox.push(event(1).replay)
  await turn()
  t.equal(made.outbox.hasRoom, true)
  made.outbox.push(event(2, {}, 65_536).replay)
  t.equal(made.outbox.hasRoom, false)
  const told: string[] = []
  const wait = (name: string, isFirst?: boolean): void => {
    made.outbox.whenDrained(() => { told.push(name) }, isFirst)
  }
  wait('a')
  wait('b', true)
  wait('c')
  wait('d', true)
  made.link.isFull = false
  made.outbox.drained()
  t.same(told, ['b', 'd', 'a', 'c'])
  t.equal(made.outbox.hasRoom, true)
})

t.test('there is room for what fits beside what waits, and for one frame that is larger than all may be', async (t) => {
  const made = make(100_000)
  made.link.isFull = true
  made.outbox.push(event(1))
  await turn()
  made.outbox.push(event(2, {}, 30_000))
  t.same([50_000, 80_000, 200_000].map((bytes) => made.outbox.hasRoomFor(bytes)), [true, false, true])
  made.outbox.push(event(3, {}, 200_000).replay)
  t.equal(made.outbox.hasRoomFor(1), false)
  made.outbox.push(event(4, {}, 60_000))
  t.equal(made.cuts.count, 0, 'the large one is not counted against what comes behind it')
  made.outbox.push(event(5, {}, 20_000))
  t.equal(made.cuts.count, 1)
  addsUp(t, made)
})

t.test('a reader of history waits for room and is called once', async (t) => {
  const made = make()
  made.link.isFull = true
  made.outbox.push(event(1).replay)
  await turn()
  let told = 0
  made.outbox.whenDrained(() => { told++ })
  made.link.isFull = false
  made.outbox.drained()
  made.outbox.drained()
  t.equal(told, 1)
  t.match(made.counters, { meant: 1, resumed: 1, delivered: 0 })
})

t.test(
  'where a poll takes what waits, volatile events wait like the others and all count when they are taken',
  async (t) => {
    const counters = newCounters()
    let told = 0
    const link: Link = { transport: 'polling', attach () {}, write: () => true, close () {}, pending: () => { told++ } }
    const outbox = new Outbox(link, { flusher: new Flusher(), counters, outboxLimit: 1_000_000 }, { cut () {} })
    outbox.push(event(1))
    outbox.push(event(2, { delivery: 'volatile' }))
    outbox.push(event(3).replay)
    outbox.push(pong)
    t.equal(told, 4)
    t.same(counters, { ...newCounters(), meant: 3, queued: 3, waiting: 4, waitingBytes: outbox.bytes })
    t.same(
      outbox.take().map((packet) => packet.event === undefined
        ? 'pong'
        : Number(JSON.parse(packet.payload.toString()).data)),
      [1, 2, 3, 'pong']
    )
    t.match(counters, { delivered: 2, resumed: 1 })
    t.same(outbox.take(), [])
  }
)

t.test('very large fan-outs yield to the event loop, and every connection keeps its order', async (t) => {
  const flusher = new Flusher()
  class Slow extends FakeLink {
    override write (bytes: Uint8Array): boolean {
      const end = performance.now() + 0.5
      while (performance.now() < end);
      return super.write(bytes)
    }
  }
  const all = Array.from({ length: 100 }, () => make(1e6, new Slow(), flusher))
  const [one, two] = [event(1), event(2)]
  for (const { outbox } of all) outbox.push(one)
  let turns = 0
  await turn()
  t.ok(all.some(({ link }) => link.writes.length === 0), 'not all in one turn')
  for (const { outbox } of all) outbox.push(two)
  while (all.some(({ link }) => link.seen.length < 2) && turns++ < 1_000) await turn()
  for (const { link } of all) t.same(link.seen, [1, 2])
})
