import t from 'tap'
import { Acks } from '../lib/acks.js'
import { BoundedClaims } from '../lib/adapters/bounded-claims.js'
import type { PresenceChange } from '../lib/adapters/adapter.js'
import { memory } from '../lib/adapters/memory.js'
import { MemoryPresence } from '../lib/adapters/memory-presence.js'
import { OpenTickets } from '../lib/open-tickets.js'
import { Slices } from '../lib/slices.js'
import { Slots } from '../lib/slots.js'

t.test('tickets are counted by user and in all, and the count comes down with their use and their time', async (t) => {
  const tickets = new OpenTickets({ perUser: 2, total: 3 })
  t.equal(tickets.wait('ada', 0), 0)
  tickets.add('ada', 'a1', 1_000)
  tickets.add('ada', 'a2', 1_500)
  t.equal(tickets.wait('ada', 400), 600, 'until his first ends')
  t.equal(tickets.wait('bob', 400), 0)
  tickets.add('bob', 'b1', 2_000)
  t.equal(tickets.wait('eve', 400), 600, 'all together are too many')
  tickets.spend('a2')
  t.equal(tickets.wait('eve', 400), 0)
  t.equal(tickets.wait('ada', 1_000), 0)
  t.equal(tickets.size, 1)
  tickets.wait('ada', 2_000)
  t.equal(tickets.size, 0)
})

t.test('a user\'s outcomes on a broker are bounded in bytes: the oldest are given back to it, nobody else\'s', async (t) => {
  const given: string[] = []
  const said: object[] = []
  const { claims } = memory()
  const bounded = new BoundedClaims({
    ...claims!,
    settle: (key, hash, outcome, ttl, owner) => {
      if (outcome === undefined) given.push(key)
      return claims!.settle(key, hash, outcome, ttl, owner)
    }
  })
  bounded.start({ remembered: { bytes: 1_000_000, perUser: 10_000 }, log: { info: () => undefined, warn: (object) => { said.push(object) } } })
  void bounded.settle('ada', 'hash', '{}', 120_000, 'ada')
  for (let index = 0; index < 20; index++) void bounded.settle(`bob ${index}`, 'hash', 'r'.repeat(2_000), 120_000, 'bob')
  t.same(given, Array.from({ length: 16 }, (_, index) => `bob ${index}`))
  t.equal(bounded.forgotten, 16)
  t.ok(bounded.bytes <= 12_000, String(bounded.bytes))
  t.equal(said.length, 1, 'once a minute')
  t.match(await bounded.claim('ada', 'hash', 1_000), { state: 'settled' })
})

t.test('the end of a connection looks at the broadcasts that wait for it, and leaves nothing of them behind', async (t) => {
  const acks = new Acks('a', { send: async () => undefined }, (error) => { throw error })
  for (let index = 0; index < 3_000; index++) {
    const audience = acks.offered({ ack: `b.${index}` } as never)!
    for (const id of [`c${index}`, 'common']) audience.add({ id, userId: id } as never)
    audience.end()
  }
  const began = performance.now()
  for (let index = 0; index < 20_000; index++) acks.gone(`nobody ${index}`)
  t.ok(performance.now() - began < 1_000, `${Math.round(performance.now() - began)} ms for 20 000 ends`)
  acks.gone('common')
  for (let index = 0; index < 3_000; index++) acks.gone(`c${index}`)
  t.equal(acks.size, 0)
})

t.test('a sweep of presence announces each leave once, in slices when there are many', async (t) => {
  let now = 0
  const told = new Map<string, PresenceChange[]>()
  const presence = new MemoryPresence(() => now, (room, change) => {
    const list = told.get(room)
    if (list === undefined) told.set(room, [change])
    else list.push(change)
  })
  t.teardown(() => { presence.stop() })
  for (let index = 0; index < 20_000; index++) {
    const entry = { userId: `u${index % 5_000}`, connection: `c${index}` }
    presence.join(`r/${index}`, entry)
    presence.leave(`r/${index}`, entry, 100)
  }
  now = 100
  presence.sweep()
  for (let turns = 0; turns < 5_000 && [...told.values()].some((changes) => changes.length < 2); turns++) await new Promise(setImmediate)
  t.equal(told.size, 20_000)
  t.ok([...told.values()].every((changes) => changes.length === 2 && changes[1]!.left.length === 1), 'one join, one leave')
})

t.test('leases are renewed in batches, each once, and those given back meanwhile not at all', async (t) => {
  const batches: string[][] = []
  const slots: Slots = new Slots({ capacity: 10_000, user: 5, address: undefined, whenUnavailable: 'admit' }, {
    acquire: async () => true,
    renew: async (batch) => {
      batches.push(batch.map(({ holder }) => holder))
      if (batches.length === 1) slots.release('c1999')
    },
    release: async () => undefined,
    count: async () => 0
  }, (error) => { throw error }, () => undefined)
  for (let index = 0; index < 2_000; index++) {
    slots.reserve(`c${index}`, `u${index}`, '', [])
    await slots.lease(`c${index}`, [])
  }
  slots.restore()
  for (let turns = 0; turns < 100 && batches.flat().length < 1_999; turns++) await new Promise(setImmediate)
  await new Promise(setImmediate)
  t.ok(batches.every((batch) => batch.length <= 500))
  t.same(batches.flat(), Array.from({ length: 1_999 }, (_, index) => `c${index}`))
})

t.test('slices are turns of their own, end when there is no more, and stop when told', async (t) => {
  let done = 0
  const slices = new Slices(() => ++done % 3 !== 0)
  slices.run()
  slices.run()
  t.equal(done, 1, 'the first at once, the next not in the same turn')
  for (let turns = 0; turns < 5; turns++) await new Promise(setImmediate)
  t.equal(done, 3)
  slices.run()
  slices.stop()
  await new Promise(setImmediate)
  t.equal(done, 4)
})
