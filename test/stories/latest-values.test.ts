import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { Pace } from '../../lib/connection/pace.js'
import { defineRoom } from '../../lib/index.js'
import { narrowWay } from '../helpers/narrow-way.js'
import { assertLedger, connect, eventually, start, statsOf, TRANSPORTS } from '../helpers/net.js'

const prices = defineRoom('prices', {
  events: {
    price: {
      data: Type.Object({
        symbol: Type.String(),
        price: Type.Number(),
        at: Type.Number(),
        pad: Type.Optional(Type.String())
      }),
      delivery: 'latest',
      key: 'symbol'
    },
    other: { data: Type.Object({ symbol: Type.String(), price: Type.Number() }), delivery: 'latest', key: 'symbol' },
    end: Type.Object({})
  }
})

for (const transport of TRANSPORTS) {
  t.test(
    `over ${transport} of ten values of one key within a flush window the newest is sent, and the rest is counted as conflated`,
    async (t) => {
      const server = await start(t, { declare: (app) => { app.room(prices, { flush: 1_000 }) } })
      const { rooms } = server.app
      const ada = await connect(server, { transport, token: server.token('ada'), rooms: ['prices'] })
      const bob = await connect(server, { transport, token: server.token('bob'), rooms: ['prices'] })
      for (let price = 0; price < 10; price++) {
        await rooms.broadcast(prices, 'price', { symbol: 'A', price, at: 0 })
        if (price % 2 === 0) await rooms.broadcast(prices, 'price', { symbol: 'B', price, at: 0 })
        if (price === 3) await rooms.broadcast(prices, 'other', { symbol: 'A', price })
      }
      await rooms.broadcast(prices, 'end', {})
      for (const peer of [ada, bob]) {
        await peer.next('end')
        const values = peer.queue.all.filter(({ type }) => type === 'price' || type === 'other')
        const seen = values.map(({ type, data }) => {
          const { symbol, price } = data as { symbol: string, price: number }
          return `${type} ${symbol} ${price}`
        })
        t.same(seen, ['other A 3', 'price B 8', 'price A 9'])
      }
      // What is set between two polls is read as it is then, and replaces nothing.
      const { conflated } = (await statsOf(server.app)).ledger
      if (transport !== 'polling') t.equal(conflated, 2 * (9 + 4))
      await assertLedger(t, server.app)
    }
  )
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} values that change all the time come once in each flush window`, async (t) => {
    const flush = 200
    const server = await start(t, { declare: (app) => { app.room(prices, { flush }) } })
    const ada = await connect(server, { transport, token: server.token('ada'), rooms: ['prices'] })
    const begun = performance.now()
    let price = 0
    for (; price < 60; price++) {
      await server.app.rooms.broadcast(prices, 'price', { symbol: 'A', price, at: 0 })
      await sleep(20)
    }
    await ada.next('price', (frame) => (frame.data as { price: number }).price === price - 1)
    const seen = ada.queue.all.filter(({ type }) => type === 'price').length
    const windows = (performance.now() - begun) / flush
    t.ok(seen <= windows + 2, `${seen} of ${price} within ${windows.toFixed(1)} windows`)
    t.ok(seen > 2)
  })
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} who joins a room of 1 000 values that are more than an outbox holds is brought them all, each as it is`, {
    timeout: 60_000
  }, async (t) => {
    const server = await start(t, {
      declare: (app) => { app.room(prices) },
      limits: { rate: { messages: 10_000, burst: 10_000 } }
    })
    const { rooms } = server.app
    const set = async (n: number, price: number): Promise<void> => {
      await rooms.broadcast(prices, 'price', { symbol: `s${n}`, price, at: 0, pad: 'x'.repeat(1_300) })
    }
    const remove = async (n: number): Promise<void> => { await rooms.remove(prices, 'price', `s${n}`) }
    for (let n = 0; n < 1_000; n++) await set(n, 1)
    const { port } = transport === 'polling' ? server : await narrowWay(t, server.port, 65_536, 500_000)
    const peer = await connect({ ...server, port, url: `http://127.0.0.1:${port}` }, {
      transport, token: server.token('ada'), rooms: ['prices']
    })
    // Some of these have been brought by now, and some have not.
    for (let n = 0; n < 1_000; n += 100) {
      await set(n, 2)
      await remove(n + 1)
      await set(n + 2, 2)
      await set(n + 2, 3)
    }
    await rooms.broadcast(prices, 'end', {})
    let end = ''
    void peer.ended.then(() => { end = 'ended' })
    const seen = (): Map<string, number[]> => {
      const all = new Map<string, number[]>()
      for (const { type, data } of peer.queue.all) {
        if (type !== 'price' && type !== 'removed') continue
        const { symbol, price, key } = data as { symbol?: string, price?: number, key?: string }
        const name = symbol ?? key!
        all.set(name, [...all.get(name) ?? [], price ?? 0])
      }
      return all
    }
    const truth = Array.from({ length: 1_000 }, (_, n) => [2, 0, 3][n % 100] ?? 1)
    const isOver = (): boolean => {
      const all = seen()
      return truth.every((price, n) => (all.get(`s${n}`)?.at(-1) ?? 0) === price)
    }
    await eventually('all of them', () => end || isOver(), (is) => is === true || is === 'ended', 15_000)
    t.equal(end, '')
    const all = seen()
    t.same(truth.map((_, n) => all.get(`s${n}`)?.at(-1) ?? 0), truth)
    t.same([...all].filter(([, heard]) => heard.some((price, i) => price !== 0 && price < heard[i - 1]!)), [])
    t.equal(peer.queue.all.filter(({ type }) => type === 'end').length, 1)
    const sent = peer.queue.all.filter(({ type }) => type === 'price').length
    t.ok(sent <= 1_000 + 40, `${sent} values, none twice`)
    await peer.close()
    await assertLedger(t, server.app)
    t.same(server.loud, [])
  })
}

t.test('a window whose values are larger than a link takes sends the newest of each key as well', async (t) => {
  const server = await start(t, { declare: (app) => { app.room(prices, { flush: 300 }) } })
  const ada = await connect(server, { token: server.token('ada'), rooms: ['prices'] })
  for (let price = 0; price < 20; price++) {
    await server.app.rooms.broadcast(prices, 'price', { symbol: 'A', price, at: 0, pad: 'x'.repeat(20_000) })
  }
  t.match(await ada.next('price'), { data: { price: 19 } })
  await ada.fence()
})

for (const transport of ['websocket', 'sse'] as const) {
  t.test(`over ${transport} what a reader at 20 kB/s sees of values that change faster is less than two seconds old, and he is not cut`, {
    timeout: 60_000
  }, async (t) => {
    const server = await start(t, { declare: (app) => { app.room(prices, { history: false }) }, heartbeat: 5_000 })
    // It takes no more than the kernels on the way do.
    const { port } = await narrowWay(t, server.port, 1, 20_000)
    const slow = await connect({ port, url: `http://127.0.0.1:${port}` }, {
      transport,
      token: server.token('ada'),
      rooms: ['prices']
    })
    const fast = await connect(server, { transport, token: server.token('bob'), rooms: ['prices'] })
    let oldest = 0
    let seen = 0
    const watch = (async () => {
      for (;;) {
        const { at } = (await slow.next('price', undefined, 2_500)).data as { at: number }
        oldest = Math.max(oldest, Date.now() - at)
        seen++
      }
    })().catch(() => undefined)
    const pad = 'x'.repeat(150)
    const begun = Date.now()
    let sent = 0
    // Server, readers and the link between them share this process: while it stands still, what is on its way grows
    // older.
    let stalled = 0
    // Some 60 kB a second.
    while (Date.now() - begun < 8_000) {
      for (let i = 0; i < 5; i++) {
        await server.app.rooms.broadcast(prices, 'price', { symbol: `S${sent++ % 20}`, price: 1, at: Date.now(), pad })
      }
      const slept = performance.now()
      await new Promise((resolve) => setTimeout(resolve, 20))
      stalled = Math.max(stalled, performance.now() - slept - 20)
    }
    // Without a pace it would be more than five seconds by now.
    t.ok(
      oldest < 2_000 + 3 * stalled,
      `${oldest} ms old at most, where the process stood still for ${Math.round(stalled)} ms at most`
    )
    t.ok(seen > 200, `${seen} of ${sent} values seen: the link is used`)
    const all = fast.queue.all.filter(({ type }) => type === 'price').length
    t.ok(all > sent * 0.9, `who reads fast sees nearly every one: ${all} of ${sent}`)
    t.equal((await statsOf(server.app)).connections.total, 2)
    slow.cut()
    await watch
    await assertLedger(t, server.app)
  })
}

t.test('a pace learns the round trip first, then asks in every 2 KiB, lets 2 KiB follow, and more on a fast link', async (t) => {
  const pace = new Pace('websocket')
  t.equal(pace.begin(0.5), true, 'a ping before the first value')
  pace.taken(1)
  t.equal(pace.begin(1), false)
  pace.end()
  pace.begin(1)
  t.equal(pace.add(4_000, 1), undefined)
  t.equal(pace.add(200, 2), 'ping')
  t.equal(pace.add(3_991, 3), undefined, 'one question at a time')
  t.equal(pace.isAhead(3), false)
  pace.add(1, 3)
  t.equal(pace.isAhead(3), true)
  pace.taken(900)
  t.equal(pace.isAhead(900), false)
  t.ok(pace.room! < 10_000, `a link of 4 700 B/s gets what it carries in two seconds: ${pace.room}`)
  for (let now = 1_000; now < 1_020; now++) {
    pace.add(65_536, now)
    pace.taken(now + 0.5)
  }
  t.equal(pace.room, undefined, 'a fast link is left to its own buffers')
})

/** A pace whose link carried all in no time. */
function quick (transport: 'websocket' | 'sse'): Pace {
  const pace = new Pace(transport)
  pace.begin(1)
  pace.taken(2)
  for (let now = 2; now < 30; now++) {
    pace.begin(now)
    pace.add(65_536, now)
    pace.taken(now + 0.5)
  }
  pace.begin(30)
  return pace
}

t.test('a pace asks a fast reader once a second, and waits for an answer that is half a second late', async (t) => {
  const pace = quick('websocket')
  t.equal(pace.add(600, 31), undefined)
  t.equal(pace.add(600, 1_100), 'ping')
  t.equal(pace.isAhead(1_100), false)
  t.equal(pace.isAhead(1_590), false)
  t.equal(pace.isAhead(1_610), true)
  pace.add(600, 1_620)
  pace.taken(2_100)
  t.equal(pace.isAhead(2_100), false)
  t.equal(pace.add(0, 2_100), 'ping', 'what is behind the ping is more than such a link carries in half a second')
})

t.test('a pace asks nobody of whom less than half a kilobyte a second is on its way', async (t) => {
  const pace = quick('websocket')
  t.equal(pace.add(200, 5_000), undefined)
  t.equal(pace.add(200, 6_000), undefined)
  t.equal(pace.add(200, 7_000), 'ping')
})

t.test('a pace over SSE marks the stream in each 2 KiB and each 150 ms, also while a ping is on its way', async (t) => {
  const pace = quick('sse')
  t.equal(pace.add(200, 1_000), 'mark')
  t.equal(pace.add(200, 1_100), undefined)
  t.equal(pace.add(200, 1_160), 'mark')
  t.equal(pace.add(2_000, 1_170), undefined)
  t.equal(pace.add(48, 1_180), 'mark', 'as much as a slow link takes a second for')
  t.equal(pace.add(65_536, 1_200), 'ping')
  t.equal(pace.add(200, 1_340), 'mark', 'behind the ping')
})

t.test('a pace over SSE marks nothing where a ping follows within 2 KiB', async (t) => {
  const pace = new Pace('sse')
  pace.begin(1)
  t.equal(pace.add(2_000, 1_000), undefined)
  t.equal(pace.add(200, 2_000), 'ping')
  t.equal(pace.add(200, 3_000), undefined)
})

t.test('a pace over SSE waits once the reader says that the marks are late, until the answer to a ping', async (t) => {
  const pace = quick('sse')
  t.equal(pace.isAhead(1_160), false)
  t.equal(pace.late(1_300), true, 'it is asked')
  t.equal(pace.isAhead(1_300), true)
  t.equal(pace.late(2_000), false, 'once')
  pace.taken(4_000)
  t.equal(pace.isAhead(4_000), false)
  t.equal(pace.room, 8_192, 'and gets little at a time, from the first write on')
})

t.test('a reader who is late while a ping is on its way gets nothing more until he has answered it', async (t) => {
  const pace = quick('sse')
  t.equal(pace.add(65_536, 1_000), 'ping')
  t.equal(pace.add(200, 1_010), 'mark')
  t.equal(pace.isAhead(1_020), false)
  t.equal(pace.late(1_030), false)
  t.equal(pace.isAhead(1_030), true)
  pace.taken(1_900)
  t.equal(pace.isAhead(1_900), false)
})

t.test('what was read before the ping went out does not count for the rate of the link', async (t) => {
  const pace = quick('sse')
  // 65 kB in 6 s, and then the link slows down: the last 1 500 bytes take a second.
  for (let now = 1_000; now < 7_000; now += 100) t.not(pace.add(1_090, now), 'ping')
  t.equal(pace.add(1_000, 7_000), 'ping')
  pace.taken(8_000)
  t.ok(pace.room! < 20_000, `${pace.room} bytes at a time`)
})

t.test('a pace over SSE waits for nobody who has never answered, and stops to wait when an answer got lost', async (t) => {
  const pace = new Pace('sse')
  t.equal(pace.begin(1), false)
  t.equal(pace.add(4_096, 1), 'ping')
  pace.add(1_000_000, 2)
  t.equal(pace.isAhead(2), false, 'a reader of its own making')
  pace.taken(700)
  pace.begin(700)
  t.equal(pace.add(4_096, 800), 'ping')
  pace.add(8_192, 801)
  t.equal(pace.isAhead(801), true, 'it has answered before')
  t.equal(pace.giveUp(10_000), false)
  pace.late(10_100)
  t.equal(pace.giveUp(20_000), false, 'who says that marks come late is there')
  t.equal(pace.isAhead(20_000), true)
  t.equal(pace.giveUp(20_200), true)
  t.equal(pace.isAhead(20_200), false)
  t.equal(pace.add(4_096, 20_300), 'ping', 'it is asked again')
})
