import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { matchList } from '../../helpers/match-list.js'
import {
  assertLedger, chat, connect, declareChat, eventually, poll, statsOf, type Running, type StartOptions
} from '../../helpers/net.js'
import { Nodes, ROOM, stream, upTo, type Ground } from './client.js'

/**
 * What concerns one node and its own connections: readers that lag, polls that follow each other, rooms that keep
 * nothing.
 */
export function readers (ground: Ground): void {
  const { name, isDense } = ground
  const begin = async (t: Test, options: StartOptions = {}): Promise<Running> => (await Nodes.start(
    t,
    { ...ground, nodes: 1 },
    options
  )).all[0]!

  t.test(`${name}: without history there is no position, and each resume says so`, async (t) => {
    const server = await begin(t, { declare: (app) => { app.room(stream, { history: false }) } })
    const ada = await connect(server, { rooms: [ROOM], token: server.token('ada') })
    t.same((ada.welcome.data as { rooms: object }).rooms, { [ROOM]: {} })
    t.match(await server.app.rooms.broadcast(ROOM, 'e', { i: 1 }), { recipients: 1, position: undefined })
    t.equal((await ada.next('e')).offset, undefined)
    const first = await poll(server, { rooms: [ROOM], token: server.token('bob') })
    t.match(
      await poll(server, { rooms: [ROOM], token: server.token('bob'), query: { since: first.cursor, wait: '1' } }),
      { resumed: false }
    )
  })

  for (const transport of ['sse', 'polling'] as const) {
    t.test(`${name}: over ${transport} a room that cannot be entered now keeps its place in the cursor`, async (t) => {
      let isShut = false
      const server = await begin(t, {
        declare: (app) => {
          app.room(stream, {
            onJoin: ({ room }) => {
              if (isShut && room.name === ROOM) throw Object.assign(new Error('not now'), { statusCode: 503 })
            }
          })
        }
      })
      const { rooms } = server.app
      const token = server.token('ada')
      await rooms.broadcast(ROOM, 'e', { i: 1 })
      const { position } = await rooms.history(ROOM)
      await rooms.broadcast(ROOM, 'e', { i: 2 })
      isShut = true
      const first = await connect(server, {
        transport,
        rooms: [ROOM, 'stream/2'],
        token,
        query: { at: `0:${position.epoch}:${position.offset}` }
      })
      t.equal((await first.next('error')).room, ROOM)
      await rooms.broadcast('stream/2', 'e', { i: 9 })
      await first.next('e', ({ room }) => room === 'stream/2')
      const { cursor } = first
      first.cut()
      isShut = false
      const again = await connect(server, {
        transport: 'sse',
        rooms: [ROOM, 'stream/2'],
        token,
        query: { since: cursor }
      })
      t.match(await again.next('e'), { room: ROOM, data: { i: 2 } })
      await again.fence()
    })
  }

  t.test(`${name}: a reader that stops is conflated, spared the volatile, then cut with 4410; its memory is freed, nobody waits, and it resumes`, {
    timeout: 60_000
  }, async (t) => {
    const server = await begin(t, {
      limits: { user: { connections: 200, then: 'reject' }, outbox: 400_000 },
      declare: (app) => { declareChat(app, { history: { size: 20_000, ttl: 600_000 } }) }
    })
    const readers = await Promise.all(Array.from(
      { length: 30 },
      async () => await connect(server, { rooms: ['chat/1'], token: server.token('reader') })
    ))
    const slow = await connect(server, { rooms: ['chat/1'], token: server.token('slow') })
    slow.stall()
    const text = 'x'.repeat(2_000)
    let published = 0
    const { rooms } = server.app
    // Until the kernel's buffers are full, nothing waits with us.
    do {
      for (let i = 0; i < 8; i++) await rooms.broadcast('chat/1', 'said', { text, by: String(++published) })
      await turn()
      await turn()
    } while ((await statsOf(server.app)).outbox.bytes === 0 && published < 15_000)
    for (let i = 0; i < 50; i++) await rooms.broadcast('chat/1', 'score', { team: 'a', points: i })
    for (let i = 0; i < 50; i++) await rooms.broadcast('chat/1', 'typing', { by: 'x' })
    await turn()
    const lagging = await statsOf(server.app)
    t.ok(lagging.ledger.conflated >= 40, `conflated ${lagging.ledger.conflated}`)
    t.ok(lagging.ledger.dropped >= 40, `dropped ${lagging.ledger.dropped}`)
    while ((await statsOf(server.app)).closes.slow_consumer === undefined && published < 20_000) {
      await rooms.broadcast('chat/1', 'said', { text, by: String(++published) })
      if (published % 8 === 0) await turn()
    }
    t.equal((await statsOf(server.app)).closes.slow_consumer, 1)
    await eventually('outboxes', async () => (await statsOf(server.app)).outbox.bytes, (bytes) => bytes === 0)
    await eventually(
      'all readers',
      () => Math.min(...readers.map(({ queue }) => queue.all.filter(({ type }) => type === 'said').length)),
      (count) => count === published,
      20_000
    )
    for (const { queue } of readers) {
      t.same(queue.all.filter(({ type }) => type === 'said').map(({ offset }) => offset), upTo(published))
    }
    slow.resume()
    await slow.ended
    await t.rejects(slow.next('nothing', () => false, 10), { message: /4410 slow_consumer|1006/ })
    const got = slow.queue.all.filter(({ type }) => type === 'said')
    const { epoch } = (slow.welcome.data as { rooms: Record<string, { epoch: string }> }).rooms['chat/1']!
    const again = await connect(server, { token: server.token('slow') })
    again.send({ type: 'join', room: 'chat/1', id: 'j', data: { since: { epoch, offset: got.at(-1)?.offset ?? 0 } } })
    t.match(await again.next('ack'), { data: { resumed: true } })
    await eventually(
      'the rest',
      () => again.queue.all.filter(({ type }) => type === 'said').length,
      (count) => count === published - got.length,
      20_000
    )
    t.same(
      [...got, ...again.queue.all.filter(({ type }) => type === 'said')].map(({ offset }) => offset),
      upTo(published)
    )
    await assertLedger(t, server.app)
  })

  t.test(`${name}: a stream trimmed under a reader that follows it is a gap, never silence`, async (t) => {
    const server = await begin(t, {
      declare: (app) => { declareChat(app, { history: { size: 600 } }) },
      limits: { outbox: 300_000 }
    })
    const { rooms } = server.app
    const text = 'x'.repeat(20_000)
    for (let i = 0; i < 600; i++) await rooms.broadcast('chat/1', 'said', { text, by: String(i) })
    const { epoch } = (await rooms.history('chat/1', { limit: 1 })).position
    const peer = await connect(server, { token: server.token('ada') })
    peer.stall()
    peer.send({ type: 'join', room: 'chat/1', id: 'j', data: { since: { epoch, offset: 0 } } })
    await eventually(
      'a follower that lags',
      async () => (await statsOf(server.app)).ledger.meant,
      (meant) => meant > 10
    )
    for (let i = 0; i < 700; i++) await rooms.broadcast('chat/1', 'said', { text: 'new', by: String(i) })
    peer.resume()
    const gap = await peer.next('gap', undefined, 10_000)
    const { from, to } = gap.data as { from: number, to: number }
    t.equal(to, 700)
    await eventually('the end', () => peer.queue.all.at(-1)?.offset, (offset) => offset === 1_300)
    const offsets = peer.queue.all.filter(({ type }) => type === 'said').map(({ offset }) => offset!)
    t.same(offsets, [...upTo(from), ...upTo(1_300).slice(700)])
  })

  t.test(`${name}: a second poll of a connection ends the first, whose events go to the second`, async (t) => {
    const server = await begin(t)
    const options = { rooms: ['chat/1'], token: server.token('ada') }
    const first = await poll(server, options)
    const next = { ...options, query: { since: first.cursor, wait: '5000' } }
    const open = poll(server, next)
    // It came first, and is let in first.
    await eventually(
      'the poll has come',
      () => server.lines.filter((line) => line.includes('incoming request')).length,
      (requests) => requests === 2
    )
    const second = poll(server, next)
    matchList(t, await open, { cursor: first.cursor, frames: [] })
    const { position } = await server.app.rooms.broadcast('chat/1', 'said', { text: 'hi', by: 'x' })
    if (isDense) t.equal(position!.offset, 1)
    matchList(t, await second, { resumed: true, frames: [{ type: 'said', offset: position!.offset }] })
    t.equal((await statsOf(server.app)).connections.total, 1)
    await assertLedger(t, server.app)
  })

  t.test(
    `${name}: a connection that polls keeps its slot between polls and gives it back after the grace`,
    async (t) => {
      const server = await begin(t, { capacity: 1, presence: { grace: 150 } })
      await poll(server, { rooms: ['chat/1'], token: server.token('ada') })
      await t.rejects(poll(server, { rooms: ['chat/1'], token: server.token('bob') }), { code: 'server_full' })
      await eventually(
        'the slot',
        async () => await poll(server, { rooms: ['chat/1'], token: server.token('bob') }).then(
          () => 'in',
          ({ code }: { code: string }) => code
        ),
        (state) => state === 'in'
      )
      t.same(chat.name, 'chat/:id')
    }
  )
}
