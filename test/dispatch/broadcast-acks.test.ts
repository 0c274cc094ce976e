import t from 'tap'
import { BroadcastAcks } from '../../lib/dispatch/broadcast-acks.js'
import type { ControlMessage } from '../../lib/adapters/adapter.js'
import { matchList } from '../helpers/match-list.js'
import { until } from '../helpers/servers.js'

const isPending = async (promise: Promise<unknown>): Promise<boolean> => await Promise.race([
  promise.then(() => false),
  new Promise<boolean>((resolve) => { setImmediate(resolve, true) })
])

function node (): { acks: BroadcastAcks, id: string, sent: ControlMessage[] } {
  const sent: ControlMessage[] = []
  const acks = new BroadcastAcks('a', { send: async (message) => { sent.push(message) } }, (error) => { throw error })
  return { acks, id: acks.newId(), sent }
}

t.test('a result waits for every node that was handed the event, whoever answers first', async (t) => {
  const { acks, id } = node()
  const result = acks.wait(id, 60_000)
  acks.seal(id, 2)
  acks.report(id, 'b', [{ connection: 'c1', userId: 'ada' }])
  acks.answered(id, 'c1', 'acked')
  t.equal(await isPending(result), true, 'one has not reported')
  acks.answered(id, 'c2', 'acked')
  acks.report(id, 'c', [{ connection: 'c2', userId: 'bob' }])
  t.same(await result, { acked: ['ada', 'bob'], missing: [], left: [], unknown: 0 })
  t.equal(acks.size, 0)
})

t.test('a node that reports twice is one node', async (t) => {
  const { acks, id } = node()
  const result = acks.wait(id, 60_000)
  acks.seal(id, 2)
  for (let told = 0; told < 2; told++) acks.report(id, 'b', [])
  t.equal(await isPending(result), true)
  acks.report(id, 'c', [])
  t.same(await result, { acked: [], missing: [], left: [], unknown: 0 })
})

t.test('where it is known which nodes are asked, no other one stands for them, and one that has gone is not waited for', async (t) => {
  const { acks, id } = node()
  const result = acks.wait(id, 60_000)
  acks.report(id, 'b', [])
  acks.seal(id, ['b', 'c', 'd'])
  acks.report(id, 'new', [{ connection: 'c1', userId: 'ada' }])
  acks.answered(id, 'c1', 'acked')
  acks.nodeGone('new')
  acks.nodeGone('c')
  t.equal(await isPending(result), true)
  acks.report(id, 'd', [{ connection: 'c2', userId: 'bob' }], true)
  acks.report(id, 'd', [{ connection: 'c3', userId: 'cat' }])
  acks.answered(id, 'c2', 'acked')
  t.equal(await isPending(result), true)
  acks.answered(id, 'c3', 'left')
  t.same(await result, { acked: ['ada', 'bob'], missing: [], left: ['cat'], unknown: 0 })
})

t.test('nodes that do not report in time are counted', async (t) => {
  const { acks, id } = node()
  const result = acks.wait(id, 1)
  acks.seal(id, 3)
  acks.report(id, 'b', [{ connection: 'c1', userId: 'ada' }])
  t.same(await result, { acked: [], missing: ['ada'], left: [], unknown: 2 })
})

t.test('a timeout that passes before the publication is done waits for the number of nodes', async (t) => {
  const { acks, id } = node()
  const result = acks.wait(id, 0)
  await new Promise((resolve) => { setTimeout(resolve, 5) })
  t.equal(await isPending(result), true)
  acks.seal(id, 1)
  t.same(await result, { acked: [], missing: [], left: [], unknown: 1 })
})

t.test('where nobody knows how many nodes there are the timeout is the end', async (t) => {
  const { acks, id } = node()
  const result = acks.wait(id, 20)
  acks.seal(id, undefined)
  acks.report(id, 'b', [{ connection: 'c1', userId: 'ada' }])
  acks.answered(id, 'c1', 'acked')
  t.equal(await isPending(result), true)
  t.same(await result, { acked: ['ada'], missing: [], left: [], unknown: 0 })
})

t.test('a closing node waits for nobody', async (t) => {
  const { acks, id } = node()
  const result = acks.wait(id, 60_000)
  acks.close()
  t.same(await result, { acked: [], missing: [], left: [], unknown: 0 })
})

t.test('answers of other nodes\' members are passed on for as long as the broadcast waits', (t) => {
  let now = 0
  const { now: clock } = performance
  performance.now = () => now
  t.teardown(() => { performance.now = clock })
  const { acks, sent } = node()
  const [asker] = [new BroadcastAcks('b', undefined, () => undefined)]
  const ids = [10_000, 300_000, Infinity].map((timeout) => asker.newId(timeout))
  for (const [index, ack] of ids.entries()) {
    const audience = acks.offered({ type: 'said', room: 'chat/1', delivery: 'reliable', timestamp: 0, ack })!
    audience.add({ id: `c${index}`, userId: 'ada' } as never)
    audience.end()
  }
  const later = (): void => {
    acks.offered({ type: 'said', room: 'chat/1', delivery: 'reliable', timestamp: 0, ack: asker.newId(1) })!.end()
  }
  const owed = (): boolean[] => ids.map((id, index) => acks.isOwed(id, `c${index}`))
  now = 59_000
  later()
  t.same(owed(), [true, true, true])
  now = 61_000
  later()
  t.same(owed(), [false, true, true])
  now = 301_000
  later()
  t.same(owed(), [false, false, true])
  sent.length = 0
  acks.acked(ids[2]!, 'c2')
  matchList(t, sent, [{ type: 'acked', ack: ids[2], connection: 'c2' }])
  t.equal(acks.size, 0)
  t.end()
})

t.test('a broadcast of another node that is over is forgotten though no other comes, also behind many that last', async (t) => {
  let ahead = 0
  const { now: clock } = performance
  performance.now = () => clock.call(performance) + ahead
  t.teardown(() => { performance.now = clock })
  const { acks } = node()
  t.teardown(() => { acks.close() })
  const ask = (ack: string): void => {
    const audience = acks.offered({ type: 'said', room: 'chat/1', delivery: 'reliable', timestamp: 0, ack })!
    audience.add({ id: 'c1', userId: 'ada' } as never)
    audience.end()
  }
  for (let index = 0; index < 2_000; index++) ask(`b.lasting${index}.`)
  ask('b.short')
  t.equal(acks.size, 2_001)
  ahead = 61_000
  await until('it is forgotten', () => !acks.isOwed('b.short', 'c1'))
  t.equal(acks.size, 2_000)
  acks.gone('c1')
  t.equal(acks.size, 0)
})
