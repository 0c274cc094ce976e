import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Outbox } from '../../lib/connection/outbox.js'
import { event, FakeLink, HandCompressor, HandFlusher, newCounters, pong, turn } from './fakes.js'

type Signal =
  | 'pong'
  | 'turn'
  | 'window ends'
  | 'full'
  | 'drained'
  | 'ping'
  | 'reply'
  | 'late'
  | 'taken'
  | 'answer lost'
  | 'compressed'

interface Offer {
  readonly delivery: 'reliable' | 'replay' | 'volatile' | 'a' | 'b' | 'c'
  readonly flush: number
  readonly isLarge: boolean
}

const step: fc.Arbitrary<Signal | Offer> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      delivery: fc.constantFrom('reliable', 'replay', 'volatile', 'a', 'b', 'c'),
      flush: fc.constantFrom(0, 250),
      isLarge: fc.integer({ min: 0, max: 5 }).map((value) => value === 0)
    })
  },
  { weight: 3, arbitrary: fc.constantFrom('pong', 'turn', 'full', 'drained', 'ping', 'reply') },
  { weight: 5, arbitrary: fc.constantFrom('turn', 'window ends', 'late', 'taken', 'answer lost', 'compressed') }
)

const LARGE = 20_000

t.test(
  'whatever comes in whatever order, frames are written once and in order, none but volatile and replaced ones is missing, and the ledger adds up',
  async (t) => {
    const transports = fc.constantFrom('websocket', 'sse')
    // Without a size there are ten steps at most, whatever the length may be.
    const list = fc.array(step, { maxLength: 80, size: 'max' })
    const runs = fc.asyncProperty(list, transports, fc.boolean(), async (steps, transport, isDropped) => {
      const compressor = new HandCompressor()
      const link = new FakeLink(transport, transport === 'sse' ? undefined : compressor)
      const counters = newCounters()
      const flusher = new HandFlusher()
      const outbox = new Outbox(link, { flusher, counters, outboxLimit: 4_000_000 }, {
        cut: () => { assert.fail('nothing here is over the bound') }
      })
      const kept: number[] = []
      const newest = new Map<string, number>()
      const pings: string[] = []
      const replies: string[] = []
      let n = 0
      let hasLagged = false
      const adds = (): void => {
        const { meant, delivered, resumed, conflated, dropped, gone } = counters
        assert.equal(delivered + resumed + conflated + dropped + gone + outbox.events, meant)
        assert.ok(outbox.bytes >= 0 && outbox.frames >= 0)
        const { queued, waiting, waitingBytes } = counters
        const held = { queued: outbox.events, waiting: outbox.frames, waitingBytes: outbox.bytes }
        assert.deepEqual({ queued, waiting, waitingBytes }, held, 'the running totals are what the outbox holds')
      }
      const offer = ({ delivery, flush, isLarge }: Offer): void => {
        n++
        const padding = isLarge ? LARGE : 0
        if (delivery === 'volatile') outbox.push(event(n, { delivery }, padding), flush)
        else if (delivery === 'reliable' || delivery === 'replay') {
          const packet = event(n, {}, padding)
          outbox.push(delivery === 'replay' ? packet.replay : packet, flush)
          kept.push(n)
        } else {
          outbox.push(event(n, { delivery: 'latest', key: delivery }, padding), flush)
          newest.set(delivery, n)
        }
      }
      const signal = async (name: Signal): Promise<void> => {
        switch (name) {
          case 'pong': outbox.push(pong); break
          case 'turn': await turn(); break
          case 'window ends': flusher.endWindows(); break
          case 'full': link.isFull = true; break
          case 'drained':
            link.isFull = false
            outbox.drained()
            break
          case 'ping':
            pings.push(`beat:p${pings.length}`)
            outbox.raw(Buffer.from(`${pings.at(-1)} `))
            break
          case 'reply':
            replies.push(`beat:r${replies.length}`)
            outbox.reply(Buffer.from(`${replies.at(-1)} `))
            break
          case 'late': outbox.late(performance.now()); break
          case 'taken': outbox.taken(performance.now()); break
          case 'answer lost': outbox.look(performance.now() + 60_000); break
          case 'compressed': await compressor.finish(); break
        }
      }
      for (const each of steps) {
        if (typeof each === 'string') await signal(each)
        else offer(each)
        hasLagged ||= outbox.isLagging
        adds()
      }
      if (isDropped) outbox.drop()
      else {
        link.isFull = false
        for (let rounds = 0; rounds < 100 && (outbox.events > 0 || rounds < 2); rounds++) {
          flusher.endWindows()
          await turn()
          await compressor.finish()
          hasLagged ||= outbox.isLagging
          outbox.drained()
          outbox.taken(performance.now())
          await turn()
        }
      }
      adds()
      assert.equal(outbox.events, 0)
      const seen = link.seen.filter((value): value is number => typeof value === 'number')
      assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b), 'once, and in order')
      if (!isDropped) {
        assert.deepEqual(seen.filter((value) => kept.includes(value)), kept, 'nothing reliable is missing')
        for (const value of newest.values()) assert.ok(seen.includes(value), 'the newest value of each key')
        if (!hasLagged) {
          assert.deepEqual(link.seen.filter((value) => pings.includes(String(value))), pings, 'each ping, in order')
          if (replies.length > 0) assert.ok(link.seen.includes(replies.at(-1)), 'the newest answer')
        }
      }
    })
    await fc.assert(runs, { numRuns: 500 })
    t.pass('500 runs')
  }
)
