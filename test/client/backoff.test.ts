import { mock } from 'node:test'
import t from 'tap'
import { backoff } from '../../lib/client/backoff.js'
import { randomBy } from '../helpers/random.js'

/**
 * When each of the clients, which all lose their server at 0, reaches it again: milliseconds of a clock that nobody
 * waits for.
 */
function arrivals (size: number, back: number): { readonly arrived: number[], readonly attempts: number[] } {
  const { mock: random } = mock.method(Math, 'random', randomBy(42))
  const arrived: number[] = []
  const attempts: number[] = []
  for (let client = 0; client < size; client++) {
    let clock = 0
    for (let attempt = 0; ; attempt++) {
      clock += backoff(attempt)
      attempts.push(clock)
      if (clock >= back) break
    }
    arrived.push(clock - back)
  }
  random.restore()
  return { arrived, attempts }
}

function histogram (times: readonly number[], width: number): number[] {
  const buckets: number[] = []
  for (const time of times) {
    const index = Math.floor(time / width)
    while (buckets.length <= index) buckets.push(0)
    buckets[index]!++
  }
  return buckets
}

t.test(
  'the delay lies between half a second and the smaller of twenty seconds and half a second more than the doubled step',
  async (t) => {
    let drawn: number
    const { mock: random } = mock.method(Math, 'random', () => drawn)
    t.teardown(() => { random.restore() })
    for (let attempt = 0; attempt < 40; attempt++) {
      drawn = 0
      t.equal(backoff(attempt), 500)
      drawn = 1
      t.equal(backoff(attempt), Math.min(20_000, 500 + Math.min(20_000, 500 * 2 ** attempt)))
    }
  }
)

t.test(
  'ten thousand clients that lose a server which is there again at once come back evenly over half a second',
  async (t) => {
    const { arrived } = arrivals(10_000, 0)
    const buckets = histogram(arrived.map((time) => time - 500), 50)
    t.equal(buckets.length, 10)
    for (const [index, count] of buckets.entries()) {
      t.ok(count > 850 && count < 1_150, `bucket ${index}: ${count} of 1 000 expected`)
    }
  }
)

for (const outage of [5_000, 30_000, 120_000]) {
  t.test(`ten thousand clients whose server is away for ${outage / 1_000} s come back in one falling slope, not in waves`, async (t) => {
    const { arrived } = arrivals(10_000, outage)
    const buckets = histogram(arrived, 1_000)
    t.ok(
      Math.max(...buckets) <= 10_000 * (outage === 5_000 ? 0.3 : 0.12),
      `the fullest second: ${Math.max(...buckets)}`
    )
    t.ok(buckets.length <= 21, `the last one after ${buckets.length} s`)
    // A wave is a second that is clearly fuller than one before it.
    let least = Infinity
    for (const [second, count] of buckets.entries()) {
      t.ok(count <= least * 1.15 + 60, `second ${second}: ${count} after ${least}`)
      least = Math.min(least, count)
    }
  })
}

t.test('attempts against a server that stays away do not gather into waves either', async (t) => {
  const { attempts } = arrivals(10_000, 120_000)
  const late = histogram(
    attempts.filter((time) => time >= 60_000 && time < 120_000).map((time) => time - 60_000),
    1_000
  )
  const mean = late.reduce((sum, count) => sum + count, 0) / late.length
  for (const [second, count] of late.entries()) {
    t.ok(Math.abs(count - mean) < mean * 0.2, `second ${second}: ${count}, mean ${mean}`)
  }
})
