import { mock } from 'node:test'
import t from 'tap'
import { createLiveness, type Liveness } from '../../lib/client/liveness.js'
import { createTimers } from '../../lib/client/timers.js'

t.beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  mock.method(performance, 'now', () => Date.now())
})
t.afterEach(() => {
  mock.timers.reset()
  mock.restoreAll()
})

/** A watch with its timers, as a line has them. */
function watching (
  said: string[],
  ask: () => void = () => { said.push('ask') }
): { silence: Liveness, stop: () => void } {
  const { after, cancel } = createTimers()
  return { silence: createLiveness(after, 500, ask, () => { said.push('dead') }), stop: cancel }
}

t.test('a link that says nothing is asked after its pause, and dead when it does not answer in time', async (t) => {
  const said: string[] = []
  const { silence, stop } = watching(said)
  silence.watch(500)
  mock.timers.tick(999)
  t.same(said, [])
  mock.timers.tick(1)
  t.same(said, ['ask'])
  mock.timers.tick(499)
  t.same(said, ['ask'])
  mock.timers.tick(1)
  t.same(said, ['ask', 'dead'])
  stop()
})

t.test('what is heard puts it off, also the answer to the question', async (t) => {
  const said: string[] = []
  const { silence, stop } = watching(said)
  silence.watch(500)
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
  stop()
})

t.test('a question out of turn has its answer in time or the link is dead, whatever was heard before', async (t) => {
  const said: string[] = []
  const { silence, stop } = watching(said)
  silence.watch(9_500)
  mock.timers.tick(100)
  silence.heard()
  silence.probe()
  mock.timers.tick(500)
  t.same(said, ['ask', 'dead'])
  stop()
})

t.test('a timer that fires late, as in a hidden page, asks before it gives up', async (t) => {
  const said: string[] = []
  const { silence, stop } = watching(said)
  silence.watch(500)
  mock.timers.tick(60_000)
  t.equal(said[0], 'ask')
  stop()
  said.length = 0
  mock.timers.tick(60_000)
  t.same(said, [], 'nothing after the stop')
})

t.test('a question whose way is another link leaves no timer behind that would end it', async (t) => {
  const said: string[] = []
  const { silence, stop } = watching(said, () => {
    said.push('ask')
    stop()
  })
  silence.watch(500)
  mock.timers.tick(1_000)
  mock.timers.tick(10_000)
  t.same(said, ['ask'])
})
