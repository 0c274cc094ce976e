import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { TokenBucket } from '../../lib/structures/token-bucket.js'

const rate = fc.record({ messages: fc.integer({ min: 1, max: 1_000 }), burst: fc.integer({ min: 1, max: 1_000 }) })
const pauses = fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 200, size: 'max' })

t.test(
  'in any span of time no more messages are allowed than the burst and the rate together, and a wait that is told suffices',
  async (t) => {
    fc.assert(fc.property(rate, pauses, (limits, gaps) => {
      const bucket = new TokenBucket(limits, 0)
      const allowed: number[] = []
      let now = 0
      for (const gap of gaps) {
        now += gap
        const wait = bucket.take(now)
        assert.ok(Number.isInteger(wait) && wait >= 0)
        assert.ok(
          wait <= Math.ceil((limits.burst + 2) * 1_000 / limits.messages),
          'nobody waits longer than the whole debt takes'
        )
        if (wait === 0) allowed.push(now)
      }
      for (let from = 0; from < allowed.length; from++) {
        const span = now - allowed[from]!
        assert.ok(allowed.length - from <= limits.burst + span * limits.messages / 1_000 + 1)
      }
      const wait = bucket.take(now)
      if (wait > 0) assert.equal(bucket.take(now + wait), 0, 'who waits as long as told is allowed')
    }), { numRuns: 2_000 })
    t.pass('2 000 runs')
  }
)

t.test('a wait that is told suffices where its parts of a message do not add up to a whole one', async (t) => {
  // Sums of a rate and of milliseconds that floating point leaves just below what they should be.
  for (const [messages, burst, gaps] of [
    [100, 9, [4, 2, 0, 1, 2, 3, 2, 6, 2, 0, 1, 2, 5, 4]],
    [350, 1, [0, 3, 5, 5, 4, 3, 3, 1, 7, 1, 3, 3, 0, 1, 2, 4, 6, 2]],
    [60, 2, [1, 0, 4]]
  ] as const) {
    const bucket = new TokenBucket({ messages, burst }, 0)
    let now = 0
    for (const gap of gaps) bucket.take(now += gap)
    const wait = bucket.take(now)
    t.ok(wait > 0)
    t.equal(bucket.take(now + wait), 0)
    t.equal(bucket.used, burst)
  }
})
