import t from 'tap'
import type { Compressor } from '../../lib/connection/compressor.js'
import { Connection } from '../../lib/connection/connection.js'
import { Flusher } from '../../lib/connection/flusher.js'
import { Heartbeat } from '../../lib/connection/heartbeat.js'
import type { Named } from '../../lib/connection/named-set.js'
import type { Transport } from '../../lib/connection/link.js'
import { event, FakeLink, HandCompressor, newCounters } from './fakes.js'

const TIMES = { interval: 1_000, timeout: 400, comment: 500, tolerance: 100, write: 5_000 }

interface Made {
  readonly connection: Connection
  readonly link: FakeLink
  readonly ends: string[]
  readonly heartbeat: Heartbeat<Named>
  sweep (at: number, wall?: number): void
  /** The process stands still until then. */
  stand (at: number): void
}

/** A connection and the sweep over it, by a clock that the test moves: moments count from its opening. */
function make (transport: Transport, exp?: number, compressor?: Compressor): Made {
  const ends: string[] = []
  const connection = new Connection<Named>({
    flusher: new Flusher(),
    counters: newCounters(),
    outboxLimit: 1_000_000,
    rate: { messages: 100, burst: 100 },
    onCommand: () => {},
    onFault: () => {},
    onClosed: (_connection, reason) => { ends.push(reason) },
    onReplayed: () => {},
    onReleased: () => {}
  }, { id: 'a', address: '', identity: { user: {}, userId: 'ada', exp } })
  const link = new FakeLink(transport, compressor)
  connection.attach(link)
  const heartbeat = new Heartbeat({ values: () => [connection] }, TIMES)
  const start = connection.beat.seenAt
  let last = 0
  return {
    connection,
    link,
    ends,
    heartbeat,
    // As often as the timer would: a process that stood still is patient.
    sweep: (at, wall = 0) => {
      for (; last < at; last += 50) heartbeat.sweep(start + last, wall)
      heartbeat.sweep(start + at, wall)
      last = at
    },
    stand: (at) => {
      heartbeat.sweep(start + at, 0)
      last = at
    }
  }
}

t.test('a silent socket is asked after the interval, and ended when its answer is late', async (t) => {
  const { link, ends, sweep } = make('websocket')
  sweep(950)
  t.same(link.writes, [])
  sweep(1_050)
  t.same(link.writes, ['beat:'])
  sweep(1_300)
  t.same(ends, [])
  sweep(1_600)
  t.same(ends, ['heartbeat_timeout'])
})

t.test('a peer that is sent a large frame at the time of its heartbeat is asked behind it, and lives on', async (t) => {
  const compressor = new HandCompressor()
  const { connection, link, ends, sweep } = make('websocket', undefined, compressor)
  connection.send(event(1, {}, 20_000))
  sweep(1_050)
  t.same(link.seen, [], 'it is being compressed')
  await compressor.finish()
  t.same(link.seen, [1, 'beat:'])
  if (link.seen.includes('beat:')) connection.pong('', connection.beat.sentAt + 1)
  sweep(1_600)
  t.same(ends, [])
})

t.test('whoever answers lives on, and its round trip is known', async (t) => {
  const { connection, ends, sweep } = make('websocket')
  sweep(1_050)
  connection.pong('', connection.beat.sentAt + 25)
  sweep(1_700)
  t.same(ends, [])
  t.equal(connection.latency, 25)
})

t.test('a frame that crosses a heartbeat says that its peer lives, and only the answer says how far it is', async (t) => {
  const { connection, ends, heartbeat, link, sweep } = make('websocket')
  sweep(1_050)
  connection.alive(connection.beat.sentAt + 1)
  t.equal(connection.latency, undefined)
  connection.pong('', connection.beat.sentAt + 300)
  t.equal(connection.latency, 300)
  connection.pong('', connection.beat.sentAt + 350)
  t.equal(connection.latency, 300, 'a beat has one answer')
  sweep(2_100)
  connection.alive(connection.beat.sentAt + 1)
  connection.pong('of-the-app', connection.beat.sentAt + 2)
  t.equal(connection.latency, 300, 'the last that is known')
  sweep(3_150)
  t.equal(link.writes.length, 3)
  t.same(ends, [])
  const { count, sum } = heartbeat.roundTrips
  t.same([count, sum], [1, 0.3], 'the second beat had no answer')
})

t.test('the time that this process stood still is no part of a round trip', async (t) => {
  const { connection, ends, stand, sweep } = make('websocket')
  sweep(1_050)
  const { sentAt } = connection.beat
  connection.alive(sentAt + 1)
  stand(3_100)
  connection.pong('', sentAt + 2_110)
  t.ok(connection.latency! > 0 && connection.latency! <= 500, `${connection.latency} ms`)
  t.same(ends, [])
})

t.test('a stream gets its comment once in the interval of comments, and is not asked for an answer', async (t) => {
  const { link, ends, sweep } = make('sse')
  sweep(450)
  t.same(link.writes, [])
  sweep(2_050)
  t.ok(link.writes.length >= 3 && link.writes.length <= 4, `${link.writes.length}`)
  t.same(ends, [])
})

t.test('a credential ends the connection when its tolerance is over, not before', async (t) => {
  const { ends, sweep } = make('websocket', 100)
  sweep(100, 100_050)
  t.same(ends, [])
  sweep(200, 100_100)
  t.same(ends, ['token_expired'])
})

t.test('a connection lasts until the moment that it was given, and is gone then, since its peer has said no goodbye', async (t) => {
  const { connection, ends, sweep } = make('sse')
  connection.lastUntil(connection.beat.seenAt + 300)
  sweep(250)
  t.same(ends, [])
  sweep(300)
  t.same(ends, ['gone'])
})

const LONG = { code: 'internal', message: 'x'.repeat(60_000), retry: 'never' } as const

for (const transport of ['websocket', 'sse'] as const) {
  t.test(`over ${transport}: a reader that is always behind but reads lives on, and is cut once it reads nothing`, async (t) => {
    const { connection, link, ends, sweep } = make(transport)
    link.isFull = true
    const write = (): void => { for (let n = 0; n < 4; n++) connection.sendError(LONG) }
    write()
    for (let at = 100; at < 10_000; at += 100) {
      await new Promise(setImmediate)
      sweep(at)
      t.ok(connection.isLagging)
      // It has taken what was written, and at once the link is full again.
      if (at % 1_000 === 0) connection.drained()
      if (at % 3_000 === 0) write()
    }
    t.same(ends, [])
    sweep(12_000)
    t.same(ends, ['slow_consumer'])
  })
}

for (const transport of ['websocket', 'sse'] as const) {
  t.test(`over ${transport}: a frame may take any time while its reader takes 16 KiB in timeouts.write, and no less`, async (t) => {
    const { connection, link, ends, sweep } = make(transport)
    link.isFull = true
    connection.sendError(LONG)
    await new Promise(setImmediate)
    for (let at = 0; at < 20_000; at += 1_000) {
      sweep(at)
      link.taken += 16_384
    }
    t.same(ends, [])
    // As much in four times the time.
    for (let at = 20_000; at < 24_000; at += 500) {
      sweep(at)
      link.taken += 2_048
    }
    t.same(ends, ['slow_consumer'])
  })
}

t.test('a reader is not cut for the time that this process stood still', async (t) => {
  const { connection, link, ends, stand, sweep } = make('websocket')
  link.isFull = true
  connection.sendError(LONG)
  await new Promise(setImmediate)
  sweep(500)
  stand(20_000)
  t.same(ends, [])
})
