import t from 'tap'
import { Deadline } from '../../../lib/adapters/broker/deadline.js'

t.test(
  'all attempts at one run of a server end at one moment of its clock, however it is read meanwhile',
  async (t) => {
    const deadline = new Deadline(1_000)
    t.equal(deadline.on('a', (at) => at + 500), 1_500)
    t.equal(deadline.on('a', (at) => at + 480), 1_500, 'a second attempt is not late before the first')
    t.equal(deadline.on('b', (at) => at + 9_000), 10_000, 'another run has another clock')
    t.equal(await new Deadline(1_000).on('a', async (at) => at + 1), 1_001)
  }
)

t.test('in a cluster, whose shards have a clock each, it is read for each attempt', async (t) => {
  const deadline = new Deadline(1_000)
  t.equal(deadline.on('', (at) => at + 500), 1_500)
  t.equal(deadline.on('', (at) => at + 480), 1_480)
})
