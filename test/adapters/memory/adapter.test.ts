import t from 'tap'
import type { Adapter, RoomSettings } from '../../../lib/adapters/adapter.js'
import { memory } from '../../../lib/adapters/memory/adapter.js'
import { adapterContract } from '../../../lib/adapters/contract/contract.js'

adapterContract(t, () => () => memory(), { name: 'memory', nodes: 1 })

const SETTINGS: RoomSettings = { history: { size: 100, ttl: 300_000 }, latest: false, definition: 'chat/:id' }

/** Publishes as a message's handler does, and gives the offset. */
function publisher (adapter: Adapter): (id: string, n: number, room?: string) => Promise<number> {
  return async (id, n, room = 'chat/1') => {
    const { position } = await adapter.publish(room, {
      type: 'said',
      data: '1',
      delivery: 'reliable',
      timestamp: 0,
      idempotencyKey: `ann\n${id}\n${n}`,
      message: { claim: `ann\n${id}`, part: `said\n${n}` },
      owner: 'ann'
    }, SETTINGS)
    return position!.offset
  }
}

t.test('what the handler of a message publishes is one event however often the message runs', async (t) => {
  let now = 0
  const adapter = memory({ now: () => now })
  const publish = publisher(adapter)
  const claims = adapter.claims!
  await claims.claim('ann\nm', 'hash', 35_000, 'ann')
  t.same([await publish('m', 1), await publish('m', 2), await publish('m', 1), await publish('m', 2)], [1, 2, 1, 2])
  await claims.settle('ann\nm', 'hash', undefined, 120_000, 'ann')
  t.match(await claims.claim('ann\nm', 'hash', 35_000, 'ann'), { state: 'claimed' }, 'it may run again')
  t.same([await publish('m', 1), await publish('m', 3)], [1, 3])
  now += 40_000
  t.match(await claims.claim('ann\nm', 'hash', 35_000, 'ann'), { state: 'claimed' }, 'its lease has run out')
  t.same([await publish('m', 2), await publish('m', 3), await publish('m', 4)], [2, 3, 4])
  await claims.settle('ann\nm', 'hash', '{"data":1}', 120_000, 'ann')
  t.match(await claims.claim('ann\nm', 'hash', 35_000, 'ann'), { state: 'settled', outcome: '{"data":1}' })
  now += 119_000
  t.equal(await publish('m', 4), 4)
  now += 2_000
  t.equal(await publish('m', 4), 5, 'after the window it is another message')
  await adapter.close()
})

t.test('a handler that publishes long after its claim has ended is remembered for the whole window', async (t) => {
  let now = 0
  const adapter = memory({ now: () => now })
  const publish = publisher(adapter)
  await adapter.claims!.claim('ann\nm', 'hash', 35_000, 'ann')
  now += 150_000
  t.equal(await publish('m', 1), 1)
  now += 119_000
  t.equal(await publish('m', 1), 1)
  await adapter.close()
})

t.test('publications of the same number in another room, of another message or of none are events of their own', async (t) => {
  const adapter = memory()
  const publish = publisher(adapter)
  await adapter.claims!.claim('ann\nm', 'hash', 35_000, 'ann')
  t.same([await publish('m', 1), await publish('m', 1, 'chat/2')], [1, 1])
  t.same([await publish('m', 1, 'chat/2'), await publish('m', 2, 'chat/2')], [1, 2])
  t.same([await publish('other', 1), await publish('other', 1)], [2, 2], 'a message that was not claimed here')
  t.same([await publish('m', 1), await publish('m', 2)], [1, 3])
  await adapter.close()
})

t.test('the publications of a message count to the bytes of its user', async (t) => {
  const adapter = memory({ remembered: { bytes: 1_000_000, perUser: 20_000 } })
  const publish = publisher(adapter)
  await adapter.claims!.claim('bob\nm', 'hash', 35_000, 'bob')
  await adapter.claims!.claim('ann\nm', 'hash', 35_000, 'ann')
  for (let n = 1; n <= 1_000; n++) await publish('m', n)
  const { rememberedBytes, forgotten } = adapter.stats!()
  t.ok(Number(rememberedBytes) < 25_000, String(rememberedBytes))
  t.ok(Number(forgotten) > 0, String(forgotten))
  t.match(await adapter.claims!.claim('bob\nm', 'hash', 35_000, 'bob'), { state: 'running' }, 'nobody else loses by it')
  await adapter.close()
})
