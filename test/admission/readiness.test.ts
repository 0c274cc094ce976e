import t from 'tap'
import { Readiness } from '../../lib/admission/readiness.js'
import type { Refusal } from '../../lib/errors/refusal.js'

function refusalOf (readiness: Readiness): Refusal | undefined {
  try {
    readiness.check()
    return undefined
  } catch (error) {
    return error as Refusal
  }
}

t.test('a node accepts from its start to its drain, and serves until it closes', async (t) => {
  const drain = { isDraining: false, remaining: 0 }
  const readiness = new Readiness(drain)
  const said = (): unknown[] => [readiness.phase, readiness.isAccepting, readiness.isServing]
  t.same(said(), ['starting', false, false])
  readiness.start()
  t.same(said(), ['accepting', true, true])
  drain.isDraining = true
  t.same(said(), ['draining', false, true])
  readiness.close()
  t.same(said(), ['closed', false, false])
})

t.test('a drain that began before the start holds when the node has started', async (t) => {
  const readiness = new Readiness({ isDraining: true, remaining: 5_000 })
  t.equal(readiness.phase, 'starting')
  readiness.start()
  t.equal(readiness.phase, 'draining')
  t.notOk(readiness.isAccepting)
})

t.test('whoever is refused is told to come again when the drain is over', async (t) => {
  const drain = { isDraining: false, remaining: 7_300 }
  const readiness = new Readiness(drain)
  readiness.start()
  t.equal(refusalOf(readiness), undefined)
  drain.isDraining = true
  const refusal = refusalOf(readiness)
  t.equal(refusal?.word, 'draining')
  t.equal(refusal?.statusCode, 503)
  t.equal(refusal?.data.retryAfter, 7_300)
})

t.test('a node that starts, or has closed without a drain, is asked again after a second', async (t) => {
  const readiness = new Readiness({ isDraining: false, remaining: 0 })
  t.equal(refusalOf(readiness)?.data.retryAfter, 1_000)
  readiness.start()
  readiness.close()
  t.equal(refusalOf(readiness)?.data.retryAfter, 1_000)
})
