import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { TokenBucket } from '../../lib/structures/token-bucket.js'

const rate = fc.record({ messages: fc.integer({ min: 1, max: 1_000 }), burst: fc.integer({ min: 1, max: 1_000 }) })
const pauses = fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 200 })

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
    }), { numRuns: 200 })
    t.pass('200 runs')
  }
)
