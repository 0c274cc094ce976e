import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { NatsLink } from '../../../lib/adapters/nats/link.js'
import type { NatsLives, NumberedPlan } from '../../../lib/adapters/nats/lives.js'
import { fetchAll, fetchEvery } from '../../../lib/adapters/nats/reading.js'

t.test('a page of a cluster that is slow ends with what has been read, so that its reader goes on from there', async (t) => {
  let asked = 0
  const link = {
    isClustered: true,
    attempt: async (ask: () => Promise<unknown>) => await ask(),
    jsm: {
      streams: {
        getMessage: async (_stream: string, { seq }: { seq: number }) => {
          if (++asked === 3) await sleep(600)
          return { subject: 'room', seq, time: new Date(), data: new TextEncoder().encode(`event ${seq}`) }
        }
      }
    }
  } as unknown as NatsLink
  const part = { stream: 'kept', subject: 'room', start: 5, most: 20 }
  const { messages, isAll, isPart } = await fetchAll(link, { ...part, patience: 500 })
  t.same([messages.map(({ seq }) => seq), isAll, isPart], [[5, 6, 7, 8, 9, 10, 11], false, true])
  asked = 0
  const whole = await fetchAll(link, part)
  t.same([whole.messages.length, whole.isPart], [20, false])
})

/** A stream whose leader takes `wait` ms for each answer and has these messages of the subject. */
function leaderOf (
  numbers: () => readonly number[],
  wait: number,
  answered: (seq: number) => void = () => {}
): NatsLink {
  return {
    isClustered: true,
    attempt: async (ask: () => Promise<unknown>) => await ask(),
    jsm: {
      streams: {
        getMessage: async (_stream: string, { seq }: { seq: number }) => {
          await sleep(wait)
          answered(seq)
          const found = numbers().find((number) => number >= seq)
          return found === undefined
            ? null
            : { subject: 'room', seq: found, time: new Date(), data: new TextEncoder().encode(`event ${found}`) }
        }
      }
    }
  } as unknown as NatsLink
}

t.test('a cluster whose answers take long is read many messages at a time, so that its reader catches up', async (t) => {
  const numbers = Array.from({ length: 300 }, (_, index) => 1 + index * 4)
  const start = performance.now()
  const part = { stream: 'kept', subject: 'room', start: 1, most: 1_000 }
  const { messages, isAll } = await fetchAll(leaderOf(() => numbers, 20), part)
  const took = performance.now() - start
  t.same([messages.map(({ seq }) => seq), isAll], [numbers, true])
  t.ok(took < 300 * 20 / 3, `300 messages took ${Math.round(took)} ms, one after the other they take 6000 ms`)
})

t.test('each page of a cluster is read as many messages at a time as the one before it', async (t) => {
  const numbers = Array.from({ length: 300 }, (_, index) => 1 + index * 4)
  let [underWay, most] = [0, 0]
  const link = leaderOf(() => numbers, 1)
  const asking: NatsLink['attempt'] = async (ask) => {
    most = Math.max(most, ++underWay)
    return await ask().finally(() => { underWay-- })
  }
  // A page ends behind its first round.
  Object.assign(link, { timeout: 0, attempt: asking })
  const lives = { use: (_plan: unknown, ask: (opened: object) => unknown) => ask({ life: { epoch: 'e' } }) }
  const parts = { link, lives: lives as unknown as NatsLives }
  const { messages } = await fetchEvery(parts, { name: 'kept' } as NumberedPlan, 'room', 1)
  t.same(messages.map(({ seq }) => seq), numbers)
  t.ok(most >= 8, `${most} at a time`)
})

t.test('each message of a cluster is read once and in order, however far apart messages are', async (t) => {
  const layouts: ReadonlyArray<readonly number[]> = [
    [],
    [1],
    [900],
    [1, 2, 3, 900, 901, 902, 903, 904, 905, 906, 907, 908, 909, 910],
    Array.from({ length: 100 }, (_, index) => (index + 1) ** 2),
    Array.from({ length: 100 }, (_, index) => 10_001 - (100 - index) ** 2)
  ]
  for (const numbers of layouts) {
    for (const most of [1, 2, 7, 1_000]) {
      const part = { stream: 'kept', subject: 'room', start: 1, most }
      const { messages, isPart } = await fetchAll(leaderOf(() => numbers, 0), part)
      t.same([messages.map(({ seq }) => seq), isPart], [numbers.slice(0, most), false])
    }
  }
})

t.test('an event that comes while others are read is neither skipped nor taken for the end', async (t) => {
  const numbers = [1, 2, 3]
  const link = leaderOf(() => numbers, 0, (seq) => { if (seq >= 5 && numbers.length === 3) numbers.push(4, 9) })
  const { messages } = await fetchAll(link, { stream: 'kept', subject: 'room', start: 1, most: 1_000 })
  const seqs = messages.map(({ seq }) => seq)
  t.same(seqs, numbers.slice(0, seqs.length))
  t.ok(seqs.length >= 3)
})
