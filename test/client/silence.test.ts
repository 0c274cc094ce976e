import { mock } from 'node:test'
import t from 'tap'
import { createSilence } from '../../lib/client/silence.js'

t.beforeEach(() => { mock.timers.enable({ apis: ['setTimeout', 'Date'] }) })
t.afterEach(() => { mock.timers.reset() })

t.test('a link that says nothing is asked after its pause, and dead when it does not answer in time', async (t) => {
  const said: string[] = []
  const silence = createSilence(() => said.push('ask'), () => said.push('dead'))
  silence.watch(1_000, 500)
  mock.timers.tick(999)
  t.same(said, [])
  mock.timers.tick(1)
  t.same(said, ['ask'])
  mock.timers.tick(499)
  t.same(said, ['ask'])
  mock.timers.tick(1)
  t.same(said, ['ask', 'dead'])
  silence.stop()
})

t.test('what is heard puts it off, also the answer to the question', async (t) => {
  const said: string[] = []
  const silence = createSilence(() => said.push('ask'), () => said.push('dead'))
  silence.watch(1_000, 500)
  mock.timers.tick(900)
  silence.heard()
  mock.timers.tick(999)
  t.same(said, [])
  mock.timers.tick(1)
  t.same(said, ['ask'])
  mock.timers.tick(100)
  silence.heard()
  mock.timers.tick(999)
  t.same(said, ['ask'])
  mock.timers.tick(1)
  t.same(said, ['ask', 'ask'])
  silence.stop()
})

t.test('a question out of turn has its answer in time or the link is dead, whatever was heard before', async (t) => {
  const said: string[] = []
  const silence = createSilence(() => said.push('ask'), () => said.push('dead'))
  silence.watch(10_000, 500)
  mock.timers.tick(100)
  silence.heard()
  silence.probe()
  mock.timers.tick(500)
  t.same(said, ['ask', 'dead'])
  silence.stop()
})

t.test('a timer that fires late, as in a hidden page, asks before it gives up', async (t) => {
  const said: string[] = []
  const silence = createSilence(() => said.push('ask'), () => said.push('dead'))
  silence.watch(1_000, 500)
  mock.timers.tick(60_000)
  t.equal(said[0], 'ask')
  silence.stop()
  said.length = 0
  mock.timers.tick(60_000)
  t.same(said, [], 'nothing after the stop')
})

t.test('a question whose way is another link leaves no timer behind that would end it', async (t) => {
  const said: string[] = []
  const silence = createSilence(() => {
    said.push('ask')
    silence.stop()
  }, () => said.push('dead'))
  silence.watch(1_000, 500)
  mock.timers.tick(1_000)
  mock.timers.tick(10_000)
  t.same(said, ['ask'])
})
