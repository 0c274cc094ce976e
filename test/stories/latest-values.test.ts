import { createServer, connect as dial, type AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { Pace } from '../../lib/connection/pace.js'
import { defineRoom } from '../../lib/index.js'
import { assertLedger, connect, start, statsOf, TRANSPORTS } from '../helpers/net.js'

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
      const server = await start(t, { declare: (app) => { app.room(prices, { flush: 200 }) } })
      const { rooms } = server.app
      const ada = await connect(server, { transport, token: server.token('ada'), rooms: ['prices'] })
      const bob = await connect(server, { transport, token: server.token('bob'), rooms: ['prices'] })
      for (let price = 0; price < 10; price++) {
        await rooms.broadcast(prices, 'price', { symbol: 'A', price, at: 0 })
        if (price % 2 === 0) await rooms.broadcast(prices, 'price', { symbol: 'B', price, at: 0 })
        if (price === 3) await rooms.broadcast(prices, 'other', { symbol: 'A', price })
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await rooms.broadcast(prices, 'end', {})
      for (const peer of [ada, bob]) {
        await peer.next('end')
        const values = peer.queue.all.filter(({ type }) => type === 'price' || type === 'other')
        const seen = values.map(({ type, data }) => {
          const { symbol, price } = data as { symbol: string, price: number }
          return `${type} ${symbol} ${price}`
        })
        if (transport === 'polling') t.ok(seen.length < 15)
        else t.same(seen, ['other A 3', 'price B 8', 'price A 9'])
      }
      if (transport !== 'polling') t.equal((await statsOf(server.app)).ledger.conflated, 2 * (9 + 4))
      await assertLedger(t, server.app)
    }
  )
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

/** Passes on so many bytes a second to each client, and keeps what is too fast. */
async function narrow (t: Test, target: number, rate: number): Promise<number> {
  const server = createServer((down) => {
    const up = dial(target, '127.0.0.1')
    const waiting: Buffer[] = []
    let last = performance.now()
    let left = 0
    const timer = setInterval(() => {
      const now = performance.now()
      left = Math.min(rate / 4, Math.round(left + (now - last) * rate / 1_000))
      last = now
      while (left > 0 && waiting.length > 0) {
        const next = waiting.shift()!
        down.write(next.subarray(0, left))
        if (next.length > left) waiting.unshift(next.subarray(left))
        left -= Math.min(left, next.length)
      }
      if (waiting.length === 0) up.resume()
    }, 20)
    up.on('data', (bytes) => {
      waiting.push(bytes)
      up.pause()
    })
    down.pipe(up)
    const end = (): void => {
      clearInterval(timer)
      down.destroy()
      up.destroy()
    }
    for (const socket of [down, up]) socket.on('error', end).on('close', end)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  return (server.address() as AddressInfo).port
}

for (const transport of ['websocket', 'sse'] as const) {
  t.test(`over ${transport} what a reader at 20 kB/s sees of values that change faster is less than two seconds old, and he is not cut`, {
    timeout: 60_000
  }, async (t) => {
    const server = await start(t, { declare: (app) => { app.room(prices, { history: false }) }, heartbeat: 5_000 })
    const port = await narrow(t, server.port, 20_000)
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

t.test(
  'a pace asks for a sign in every 2 KiB, lets 4 KiB follow it on a slow link, and more on a fast one',
  async (t) => {
    const pace = new Pace(true)
    pace.begin()
    t.equal(pace.add(2_000, 1), false)
    t.equal(pace.add(200, 2), true)
    t.equal(pace.add(4_095, 3), false, 'one question at a time')
    t.equal(pace.isAhead, false)
    pace.add(1, 3)
    t.equal(pace.isAhead, true)
    t.equal(pace.room, 2_048)
    pace.taken(900)
    t.equal(pace.isAhead, false)
    for (let now = 1_000; now < 1_010; now++) {
      pace.add(65_536, now)
      pace.taken(now + 0.5)
    }
    t.equal(pace.room, undefined, 'a fast link is left to its own buffers')
  }
)

t.test(
  'a pace over SSE waits for nobody who has never answered, and stops to wait when an answer got lost',
  async (t) => {
    const pace = new Pace(false)
    pace.begin()
    t.equal(pace.add(4_096, 1), true)
    pace.add(1_000_000, 2)
    t.equal(pace.isAhead, false, 'a reader of its own making')
    pace.taken(700)
    pace.begin()
    t.equal(pace.add(4_096, 800), true)
    pace.add(4_096, 801)
    t.equal(pace.isAhead, true, 'it has answered before')
    t.equal(pace.giveUp(5_000), false)
    t.equal(pace.isAhead, true)
    t.equal(pace.giveUp(5_800), true)
    t.equal(pace.isAhead, false)
    t.equal(pace.add(4_096, 5_900), true, 'it is asked again')
  }
)
