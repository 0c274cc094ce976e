import t from 'tap'
import { LimitWarnings } from '../../lib/errors/limit-warnings.js'
import { Buckets } from '../../lib/structures/buckets.js'
import { TokenBucket } from '../../lib/structures/token-bucket.js'
import { UserRateLimiter } from '../../lib/endpoint/user-rate-limiter.js'

t.test('a bucket allows its burst at once, then its rate', async (t) => {
  const bucket = new TokenBucket({ messages: 10, burst: 5 }, 0)
  for (let i = 0; i < 5; i++) t.equal(bucket.take(0), 0)
  const wait = bucket.take(0)
  t.equal(wait, 200, 'the refused one cost as well: two tokens at 10 a second')
  t.equal(bucket.take(wait), 0, 'who waits as long as told is allowed')
})

t.test(
  'a peer that keeps to its rate is never refused, and one that always asks too early and waits as told gets at least half of it',
  async (t) => {
    const rate = { messages: 50, burst: 100 }
    const paced = new TokenBucket(rate, 0)
    let refused = 0
    for (let i = 0; i < 100; i++) if (paced.take(0) > 0) refused++
    for (let now = 20; now <= 10_000; now += 20) if (paced.take(now) > 0) refused++
    t.equal(refused, 0)
    const eager = new TokenBucket(rate, 0)
    let allowed = 0
    let free = 0
    for (let now = 0; now < 10_000; now += 2) {
      if (now < free) continue
      const wait = eager.take(now)
      if (wait === 0) allowed++
      else free = now + wait
    }
    t.ok(allowed >= 350 && allowed <= 600, `${allowed} of 600`)
  }
)

t.test('a bucket never holds more than its burst', async (t) => {
  const bucket = new TokenBucket({ messages: 10, burst: 3 }, 0)
  let allowed = 0
  while (bucket.take(1_000_000) === 0) allowed++
  t.equal(allowed, 3)
})

t.test('a peer that takes no notice of its refusals is flooding, one that slows down recovers', async (t) => {
  const bucket = new TokenBucket({ messages: 10, burst: 4 }, 0)
  for (let i = 0; i < 7; i++) bucket.take(0)
  t.equal(bucket.isFlooded, false)
  bucket.take(0)
  t.equal(bucket.isFlooded, true)
  t.equal(bucket.take(2_000), 0)
  t.equal(bucket.isFlooded, false)
})

t.test('its debt has a floor: whoever stops flooding waits a bounded time', async (t) => {
  const bucket = new TokenBucket({ messages: 10, burst: 4 }, 0)
  let wait = 0
  for (let i = 0; i < 10_000; i++) wait = bucket.take(0)
  t.equal(wait, 600)
  t.equal(bucket.isFull(0), false)
  t.equal(bucket.isFull(900), true)
})

t.test('HTTP callers have a bucket by user, and no more users are kept than fit', async (t) => {
  const rates = new UserRateLimiter({ messages: 0.001, burst: 2 }, new LimitWarnings({ warn: () => undefined }))
  rates.spend('ada')
  rates.spend('ada')
  t.throws(() => { rates.spend('ada') }, { code: 'rate_limited' })
  t.doesNotThrow(() => { rates.spend('bob') })
  for (let i = 0; i < 10_001; i++) rates.spend(`user-${i}`)
  t.doesNotThrow(() => { rates.spend('ada') }, 'the oldest went first: a memory that is bounded forgets')
})

t.test('a bucket that was forgotten among others counts as it is for whoever has kept it', async (t) => {
  const rate = { messages: 1, burst: 2 }
  const buckets = new Buckets(1)
  const own = buckets.of('a', rate, 0)
  own.take(0, 2)
  buckets.of('b', rate, 0)
  t.equal(buckets.size, 1)
  t.equal(buckets.of('a', rate, 0, own), own)
  t.ok(buckets.of('a', rate, 0).take(0) > 0)
})
