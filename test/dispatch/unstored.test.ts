import t, { type Test } from 'tap'
import type { Adapter, ClaimStore } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { UnstoredOutcomes } from '../../lib/dispatch/unstored.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { chat, connect, eventually, start, type NetPeer, type Running } from '../helpers/net.js'

/**
 * `ahead`: milliseconds that the store's clock is before this machine's; `claimed`: called once, before the answer to a
 * claim is read
 */
interface Broken { isAway: boolean, settled: number, ahead?: number, claimed?: (() => Promise<void>) | undefined }

/** Two nodes whose claims are kept in one place, which cannot be told of an outcome for a while. */
async function two (t: Test, broken: Broken, ran: () => Promise<void>): Promise<readonly [Running, Running]> {
  const store = memory({ now: () => Date.now() + (broken.ahead ?? 0) }).claims!
  const claims: ClaimStore = {
    claim: async (key, hash, lease, owner, holder) => {
      const claim = store.claim(key, hash, lease, owner, holder)
      const { claimed } = broken
      broken.claimed = undefined
      await claimed?.()
      return claim
    },
    settle: async (key, hash, outcome, ttl) => {
      if (broken.isAway) throw new Refusal('unavailable', { retryAfter: 1_000, outcome: 'unknown' })
      await store.settle(key, hash, outcome, ttl)
      broken.settled++
    },
    put: (key, value, ttl) => store.put(key, value, ttl),
    take: (key) => store.take(key)
  }
  const make = async (): Promise<Running> => {
    const own = memory()
    const adapter: Adapter = {
      name: 'shared claims',
      start: async (host) => { await own.start(host) },
      close: async () => { await own.close() },
      subscribe: (room, settings) => own.subscribe(room, settings),
      unsubscribe: (room) => own.unsubscribe(room),
      publish: (room, publication, settings) => own.publish(room, publication, settings),
      claims
    }
    return await start(t, {
      adapter,
      declare: (app) => {
        app.room(chat, {
          on: {
            async say ({ messageId }) {
              await ran()
              return { id: messageId! }
            },
            type () {}
          }
        })
      }
    })
  }
  return [await make(), await make()]
}

async function say (peer: NetPeer, text: string): Promise<unknown> {
  peer.send({ type: 'say', room: 'chat/1', id: 'm1', data: { text } })
  const { type, data } = await peer.next('answer', ({ id }) => id === 'm1')
  return type === 'ack' ? data : (data as { code: string }).code
}

t.test(
  'a message whose outcome could not be stored runs once: its node knows the outcome, and stores it as soon as it can',
  async (t) => {
    const broken = { isAway: true, settled: 0 }
    let runs = 0
    const [a, b] = await two(t, broken, async () => { runs++ })
    const token = a.token('ada')
    const here = await connect(a, { token, rooms: ['chat/1'] })
    t.same(await say(here, 'x'), { id: 'm1' })
    t.same(await say(here, 'x'), { id: 'm1' })
    t.equal(await say(here, 'other'), 'duplicate')
    broken.isAway = false
    await eventually('it is stored', () => broken.settled, (count) => count > 0, 5_000)
    const there = await connect(b, { token, rooms: ['chat/1'] })
    t.same(await say(there, 'x'), { id: 'm1' })
    t.equal(runs, 1)
  }
)

t.test('a message that may run again and could not be given back is given back as soon as it can', async (t) => {
  const broken = { isAway: true, settled: 0 }
  let runs = 0
  const [a, b] = await two(t, broken, async () => {
    if (++runs === 1) throw new Refusal('unavailable')
  })
  const token = a.token('ada')
  const here = await connect(a, { token, rooms: ['chat/1'] })
  t.equal(await say(here, 'x'), 'unavailable')
  const there = await connect(b, { token, rooms: ['chat/1'] })
  t.equal(await say(there, 'x'), 'unavailable', 'it is claimed still')
  broken.isAway = false
  await eventually('it runs', async () => await say(there, 'x'), (answer) => typeof answer === 'object', 5_000)
  t.equal(runs, 2)
})

t.test('a message that another node has run while this one stood still with its claim is not run here again', async (t) => {
  const broken: Broken = { isAway: false, settled: 0 }
  const ran: string[] = []
  const [a, b] = await two(t, broken, async () => { ran.push('once') })
  const [here, there] = [
    await connect(a, { token: a.token('ada'), rooms: ['chat/1'] }),
    await connect(b, { token: b.token('ada'), rooms: ['chat/1'] })
  ]
  const { now } = performance
  t.teardown(() => { performance.now = now })
  let answer: Promise<unknown> | undefined
  broken.claimed = async () => {
    // Longer than a claim lasts.
    performance.now = () => now.call(performance) + 40_000
    broken.ahead = 40_000
    answer = say(there, 'hello')
    await answer
  }
  t.same(await say(here, 'hello'), { id: 'm1' })
  t.same(await answer, { id: 'm1' })
  t.same(ran, ['once'])
})

t.test('outcomes that the server never takes keep no other one back, however many they are', async (t) => {
  const stored: string[] = []
  const claims: ClaimStore = {
    ...memory().claims!,
    settle: async (key) => {
      if (key.startsWith('never')) throw new Error('too large')
      stored.push(key)
    }
  }
  const outcomes = new UnstoredOutcomes(claims, {
    window: 60_000,
    remembered: { bytes: 1_000_000, perUser: 100_000 },
    log: { warn: () => undefined }
  })
  t.teardown(() => { outcomes.stop() })
  for (const key of Array.from({ length: 24 }, (_, n) => n % 4 === 0 ? `fits ${n}` : `never ${n}`)) {
    outcomes.add({ key, hash: 'hash', owner: 'ada', holder: key }, '1', true)
  }
  await eventually('the others are stored', () => stored, (keys) => keys.length === 6, 8_000)
  t.equal(outcomes.size, 18)
})
