import { Type } from '@sinclair/typebox'
import t from 'tap'
import { connect } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import { narrowWay } from '../helpers/narrow-way.js'
import { eventually, start, statsOf } from '../helpers/net.js'

const board = defineRoom('board', {
  events: {
    gauge: {
      data: Type.Object({ name: Type.String(), at: Type.Number(), pad: Type.String() }),
      delivery: 'latest',
      key: 'name'
    }
  }
})

/** Bytes that the buffers of the way hold, as those of kernels and of a proxy do. */
const BUFFERS = 262_144

const wait = async (ms: number): Promise<void> => { await new Promise((resolve) => { setTimeout(resolve, ms) }) }

/** Milliseconds after which what was sent before the server knew has left the buffers of the way. */
const SETTLED = { 1_500: { websocket: 12_000, sse: 24_000 }, 4_000: { websocket: 8_000, sse: 12_000 } } as const
/**
 * How old a value is at most from then on, in milliseconds, as docs/guides/slow-links.md says. A value is some 110
 * bytes, over SSE 220.
 */
const MOST = { 1_500: { websocket: 3_000, sse: 4_500 }, 4_000: { websocket: 2_000, sse: 2_500 } } as const
/** Bytes of one stream that the buffers hold at most, where they have room for 262 144. */
const HELD = { websocket: 24_000, sse: 40_000 } as const

// They wait most of the time.
t.jobs = 4

for (const transport of ['websocket', 'sse'] as const) {
  for (const rate of [1_500, 4_000] as const) {
    t.test(`over ${transport} a link that slows down to ${rate} B/s behind 256 kB of buffers shows values of seconds ago, of each key, and is not cut`, {
      timeout: 120_000, buffered: true
    }, async (t) => {
      const server = await start(t, { declare: (app) => { app.room(board, { flush: 100 }) }, heartbeat: 5_000 })
      const link = await narrowWay(t, server.port, BUFFERS)
      const client = connect(`http://127.0.0.1:${link.port}/ws`, { transports: [transport], token: server.token('ada') })
      t.teardown(() => { client.close() })
      const newest = new Map<string, number>()
      const room = client.join(board)
      room.on('gauge', ({ data }) => { newest.set(data.name, data.at) })
      const errors: string[] = []
      client.on('error', ({ code, message }) => { errors.push(`${code}: ${message}`) })
      const pad = 'x'.repeat(30)
      const feed = setInterval(() => {
        for (let i = 0; i < 10; i++) {
          server.app.rooms.broadcast(board, 'gauge', { name: `g${i}`, at: Date.now(), pad })
            .catch((error: Error) => { errors.push(error.message) })
        }
      }, 200)
      t.teardown(() => { clearInterval(feed) })
      const age = (): number =>
        Math.max(newest.size < 10 ? Infinity : 0, ...[...newest.values()].map((at) => Date.now() - at))
      // Long enough for the server to take the link for a fast one.
      await wait(4_000)
      await eventually('the age of a value on a fast link', age, (ms) => ms < 1_000)
      link.rate = rate
      const begun = performance.now()
      const settles = begun + SETTLED[rate][transport]
      let settled = 0
      let peak = 0
      let back = 0
      // Server, client and the link between them share this process: while it stands still, what is on its way grows
      // older.
      let stalled = 0
      while (performance.now() < settles + 8_000) {
        const slept = performance.now()
        await wait(100)
        stalled = Math.max(stalled, performance.now() - slept - 100)
        peak = Math.max(peak, age())
        if (slept > settles) settled = Math.max(settled, age())
        if (age() > MOST[rate][transport]) back = performance.now() - begun
      }
      t.comment(`${peak} ms old at most, below the bound after ${Math.round(back)} ms, then ${settled} ms; ${link.held} bytes in the buffers at most; stood still for ${Math.round(stalled)} ms at most`)
      t.ok(settled < MOST[rate][transport] + 3 * stalled, `${settled} ms old at most`)
      t.ok(link.held < HELD[transport], `${link.held} bytes in the buffers at most`)
      t.equal(errors.join(), '')
      link.rate = Infinity
      await eventually('the age of a value once the link is fast again', age, (ms) => ms < 1_000)
      t.equal((await statsOf(server.app)).connections.total, 1)
    })
  }
}
