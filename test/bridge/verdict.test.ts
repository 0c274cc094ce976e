import t from 'tap'
import { pauseAfter, retryAfterOf, verdict } from '../../lib/bridge/verdict.js'
import { REALTIME_ERR_EVENT, REALTIME_ERR_NOT_READY, REALTIME_ERR_ROOM_UNKNOWN } from '../../lib/errors/misuse.js'
import { Refusal } from '../../lib/errors/refusal.js'

t.test('a broker that is away, a rate, a drain and an outcome that nobody knows are tried again', async (t) => {
  for (const word of ['unavailable', 'rate_limited', 'draining', 'timeout'] as const) {
    t.equal(verdict(new Refusal(word)), 'again', word)
  }
  t.equal(verdict(new Refusal('unavailable', { outcome: 'unknown' })), 'again')
  t.equal(verdict(Object.assign(new Error('the link broke'), { outcome: 'unknown' })), 'again', 'of another class')
})

t.test('what is wrong with a record refuses it, and so does whatever else may be thrown', async (t) => {
  for (const error of [
    new REALTIME_ERR_EVENT('no such event'), new REALTIME_ERR_ROOM_UNKNOWN('no such room'), new Refusal('forbidden'),
    new Refusal('internal'), new Error('a fault'), undefined, null, 'unavailable', 42
  ]) t.equal(verdict(error), 'refused', String(error))
})

t.test('an app that is not ready or has closed refuses no record: nothing can be broadcast at all', async (t) => {
  t.equal(verdict(new REALTIME_ERR_NOT_READY('not ready')), 'stop')
})

t.test('the next attempt is made after twice the time, 10 s at most, or when the error says', async (t) => {
  t.same([0, 1, 2, 20, 2_000].map((attempt) => pauseAfter(attempt, () => 1)), [100, 200, 400, 10_000, 10_000])
  t.equal(pauseAfter(0, () => 0), 50)
  t.equal(retryAfterOf(new Refusal('unavailable', { retryAfter: 1_000 })), 1_000)
  for (const error of [new Refusal('unavailable'), { data: { retryAfter: 'soon' } }, { data: null }, undefined]) {
    t.equal(retryAfterOf(error), 0)
  }
})
