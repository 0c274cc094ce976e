import t from 'tap'
import { LINKS, MOST, RATES, slowDown } from './slow-link.js'

/** Bytes of one stream that the buffers hold at most, where they have room for 262 144. */
const HELD = { websocket: 24_000, sse: 40_000 } as const

// They wait most of the time.
t.jobs = 4

for (const transport of LINKS) {
  for (const rate of RATES) {
    t.test(`over ${transport} a link that slows down to ${rate} B/s behind 256 kB of buffers shows values of seconds ago, of each key, and is not cut`, {
      timeout: 120_000, buffered: true
    }, async (t) => {
      const { peak, back, settled, held, stalled, errors, left } = await slowDown(t, transport, rate)
      t.comment(`${peak} ms old at most, below the bound after ${Math.round(back)} ms, then ${settled} ms; ${held} bytes in the buffers at most; stood still for ${Math.round(stalled)} ms at most`)
      t.ok(settled < MOST[rate][transport] + 3 * stalled, `${settled} ms old at most`)
      t.ok(held < HELD[transport], `${held} bytes in the buffers at most`)
      t.equal(errors.join(), '')
      t.equal(left, 1)
    })
  }
}
