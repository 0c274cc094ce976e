import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Flusher } from '../../lib/connection/flusher.js'
import { Outbox } from '../../lib/connection/outbox.js'
import { event, FakeLink, newCounters, pong, turn } from './fakes.js'

type Step =
  | 'reliable'
  | 'replay'
  | 'volatile'
  | 'pong'
  | 'turn'
  | 'full'
  | 'drained'
  | 'raw'
  | { readonly latest: string }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<Step>('reliable', 'replay', 'volatile', 'pong') },
  { weight: 2, arbitrary: fc.record({ latest: fc.constantFrom('a', 'b', 'c') }) },
  { weight: 3, arbitrary: fc.constantFrom<Step>('turn', 'full', 'drained', 'raw') }
)

t.test(
  'whatever comes in whatever order, frames are written once and in order, none but volatile and replaced ones is missing, and the ledger adds up',
  async (t) => {
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.boolean(), async (steps, isDropped) => {
      const link = new FakeLink()
      const counters = newCounters()
      const outbox = new Outbox(link, { flusher: new Flusher(), counters, outboxLimit: 1_000_000 }, {
        cut: () => { assert.fail('nothing here is over the bound') }
      })
      const kept: number[] = []
      const newest = new Map<string, number>()
      let n = 0
      const adds = (): void => {
        const { meant, delivered, resumed, conflated, dropped, gone } = counters
        assert.equal(delivered + resumed + conflated + dropped + gone + outbox.events, meant)
        assert.ok(outbox.bytes >= 0 && outbox.frames >= 0)
        const { queued, waiting, waitingBytes } = counters
        const held = { queued: outbox.events, waiting: outbox.frames, waitingBytes: outbox.bytes }
        assert.deepEqual({ queued, waiting, waitingBytes }, held, 'the running totals are what the outbox holds')
      }
      for (const each of steps) {
        if (each === 'turn') await turn()
        else if (each === 'full') link.isFull = true
        else if (each === 'drained') {
          link.isFull = false
          outbox.drained()
        } else if (each === 'raw') outbox.raw(Buffer.from('beat:'))
        else if (each === 'pong') outbox.push(pong)
        else {
          n++
          if (typeof each === 'object') {
            outbox.push(event(n, { delivery: 'latest', key: each.latest }))
            newest.set(each.latest, n)
          } else if (each === 'volatile') outbox.push(event(n, { delivery: 'volatile' }))
          else {
            outbox.push(each === 'replay' ? event(n).replay : event(n))
            kept.push(n)
          }
        }
        adds()
      }
      if (isDropped) outbox.drop()
      else {
        link.isFull = false
        await turn()
        outbox.drained()
        await turn()
      }
      adds()
      assert.equal(outbox.events, 0)
      const seen = link.seen.filter((value): value is number => typeof value === 'number')
      assert.equal(new Set(seen).size, seen.length, 'once')
      const order = seen.filter((value) => kept.includes(value))
      assert.deepEqual(order, kept.slice(0, order.length), 'in order')
      if (!isDropped) {
        assert.deepEqual(order, kept, 'nothing reliable is missing')
        for (const value of newest.values()) assert.ok(seen.includes(value), 'the newest value of each key')
      }
    }), { numRuns: 150 })
    t.pass('150 runs')
  }
)
