import { mock } from 'node:test'
import t from 'tap'
import { bucket } from '../../lib/client/token-bucket.js'

t.test('the client keeps a fifth below the burst of the server, and then to its rate', async (t) => {
  const clock = mock.method(performance, 'now', () => 1_000)
  t.teardown(() => { mock.restoreAll() })
  const take = bucket({ messages: 10, burst: 10 })
  const taken = (weight?: number): number => {
    let count = 0
    while (count < 100 && take(weight) === 0) count++
    return count
  }
  t.equal(taken(), 8)
  t.equal(take(), 101, 'one comes in a tenth of a second, and a timer may be early')
  clock.mock.mockImplementation(() => 1_250)
  t.equal(taken(), 2)
  t.equal(take(), 51)
  t.equal(taken(0), 8, 'what may not wait for others has as much again')
  t.equal(take(0), 101)
  clock.mock.mockImplementation(() => 1_300)
  t.equal(taken(0), 1, 'and takes of the first again, as soon as that has something')
  clock.mock.mockImplementation(() => 99_000)
  t.equal(taken(), 8, 'a pause fills it to its burst')
})

t.test('a burst of 1 lets one message through at a time, whatever the clock says', async (t) => {
  let at = 0.1
  mock.method(performance, 'now', () => at)
  t.teardown(() => { mock.restoreAll() })
  const take = bucket({ messages: 3, burst: 1 })
  for (let count = 0; count < 100; count++) {
    t.equal(take(), 0)
    const wait = take()
    t.ok(wait > 0 && wait < 335, `${wait}`)
    at += wait
  }
})
