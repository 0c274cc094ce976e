import { mock } from 'node:test'
import t from 'tap'
import { Doubts } from '../../../lib/adapters/nats/doubts.js'

t.beforeEach(() => { mock.timers.enable({ apis: ['setTimeout'] }) })
t.afterEach(() => { mock.timers.reset() })

t.test('many doubts of one stream are one comparison, and each stream has its own', async (t) => {
  const compared: string[] = []
  const doubts = new Doubts((stream) => { compared.push(stream) })
  doubts.note('a')
  mock.timers.tick(100)
  for (const stream of ['a', 'b', 'a']) doubts.note(stream)
  mock.timers.tick(149)
  t.same(compared, [])
  mock.timers.tick(1)
  t.same(compared, ['a'])
  mock.timers.tick(100)
  t.same(compared, ['a', 'b'])
  doubts.note('a')
  mock.timers.tick(250)
  t.same(compared, ['a', 'b', 'a'], 'a later doubt is another comparison')
})

t.test('nothing is compared after the end', async (t) => {
  const doubts = new Doubts((stream) => { t.fail(stream) })
  doubts.note('a')
  doubts.close()
  mock.timers.tick(1_000)
  t.pass('no comparison')
})
