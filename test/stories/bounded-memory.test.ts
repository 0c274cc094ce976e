import t from 'tap'
import { BroadcastAcks } from '../../lib/dispatch/broadcast-acks.js'
import { BoundedClaims } from '../../lib/adapters/broker/bounded-claims.js'
import type { PresenceChange } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { Streams } from '../../lib/adapters/history/stream.js'
import { FollowedStream } from '../../lib/adapters/broker/tail.js'
import { ofUser, Refusal } from '../../lib/errors/refusal.js'
import { MemoryPresence } from '../../lib/adapters/memory/presence.js'
import { Denials } from '../../lib/auth/denials.js'
import { OpenTickets } from '../../lib/auth/open-tickets.js'
import { Remembered } from '../../lib/retention/remembered.js'
import { Retention } from '../../lib/retention/retention.js'
import { RefusedUpgrades, type Asker } from '../../lib/server/refused-upgrades.js'
import { Slices } from '../../lib/structures/slices.js'
import { Slots } from '../../lib/admission/slots.js'
import { UnstoredOutcomes } from '../../lib/dispatch/unstored.js'
import { ask } from '../helpers/ask.js'
import { used } from '../helpers/cost.js'
import { start } from '../helpers/net.js'
import { until } from '../helpers/servers.js'
import { letGo } from '../helpers/garbage.js'

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

t.test(
  'a user\'s outcomes on a broker are bounded in bytes: the oldest are given back to it, nobody else\'s',
  async (t) => {
    const given: string[] = []
    const said: object[] = []
    const { claims } = memory()
    const bounded = new BoundedClaims({
      claim: (...args) => claims!.claim(...args),
      put: (...args) => claims!.put(...args),
      take: (...args) => claims!.take(...args),
      settle: (key, hash, outcome, ttl, owner) => {
        if (outcome === undefined) given.push(key)
        return claims!.settle(key, hash, outcome, ttl, owner)
      }
    })
    bounded.start({
      remembered: { bytes: 1_000_000, perUser: 10_000 },
      log: { info: () => undefined, warn: (object) => { said.push(object) } }
    })
    void bounded.settle('ada', 'hash', '{}', 120_000, 'ada')
    for (let index = 0; index < 20; index++) {
      void bounded.settle(`bob ${index}`, 'hash', 'r'.repeat(2_000), 120_000, 'bob')
    }
    t.same(given, Array.from({ length: 16 }, (_, index) => `bob ${index}`))
    t.equal(bounded.forgotten, 16)
    t.ok(bounded.bytes <= 12_000, String(bounded.bytes))
    t.equal(said.length, 1, 'once a minute')
    t.match(await bounded.claim('ada', 'hash', 1_000), { state: 'settled' })
  }
)

t.test(
  'outcomes that the broker could not be told of are bounded in bytes, of a user before in all, and what had to go is counted and said',
  async (t) => {
    const said: object[] = []
    const unstored = new UnstoredOutcomes(memory().claims!, {
      window: 120_000,
      remembered: { bytes: 300_000, perUser: 50_000 },
      log: { warn: (object) => { said.push(object) } }
    })
    t.teardown(() => { unstored.stop() })
    const add = (key: string, outcome: string, owner: string): void => {
      unstored.add({ key, hash: 'hash', owner, holder: 'a' }, outcome, true)
    }
    add('ada 1', '{}', 'ada')
    for (let index = 0; index < 1_000; index++) add(`bob ${index}`, 'r'.repeat(20_000), 'bob')
    t.ok(unstored.bytes <= 60_000, `${unstored.bytes} bytes`)
    t.equal(unstored.forgotten, 998)
    t.equal(said.length, 1, 'once a minute')
    t.ok(unstored.get('ada 1'), 'nobody else loses any')
    t.ok(unstored.get('bob 999'))
    for (let index = 0; index < 100; index++) add(`${index}`, 'r'.repeat(20_000), `user ${index}`)
    t.ok(unstored.bytes <= 300_000, `${unstored.bytes} bytes`)
    t.ok(unstored.get('ada 1'), 'who holds least is the last to lose')
  }
)

t.test('what is remembered is counted in bytes, of which a character may take more than one', async (t) => {
  const wide = 'ж'.repeat(10_000)
  const adapter = memory()
  await adapter.claims!.settle('ada', 'hash', wide, 120_000, 'ada')
  t.ok(Number(adapter.stats!().rememberedBytes) > 20_000, 'by the memory adapter')
  const unstored = new UnstoredOutcomes(memory().claims!, {
    window: 120_000,
    remembered: { bytes: 300_000, perUser: 50_000 },
    log: { warn: () => undefined }
  })
  t.teardown(() => { unstored.stop() })
  unstored.add({ key: 'ada', hash: 'hash', owner: 'ada', holder: 'a' }, wide, true)
  t.ok(unstored.bytes > 20_000, 'for a broker that is away')
  const bounded = new BoundedClaims(memory().claims!)
  await bounded.settle('ada', 'hash', '中'.repeat(10_000), 120_000, 'ada')
  t.ok(bounded.bytes > 30_000, 'on a broker, which keeps UTF-8')
  const retention = new Retention(1_000_000)
  new Remembered<true>(retention).set('ada', wide, true, 0, 120_000, 0)
  t.ok(retention.bytes > 20_000, 'of a key')
  const plain = memory()
  await plain.claims!.settle('ada', 'hash', 'r'.repeat(10_000), 120_000, 'ada')
  t.ok(Number(plain.stats!().rememberedBytes) < 12_000, 'and one of ASCII takes one')
})

t.test('events that wait behind a hole are bounded in bytes', async (t) => {
  const tail = new FollowedStream({
    room: 'r',
    limits: { size: 100, ttl: 60_000 },
    streams: new Streams(1_000_000, 10),
    host: { gap: () => undefined },
    deliver: () => undefined,
    read: async () => await new Promise(() => undefined),
    onRepair: () => undefined
  })
  let most = 0
  for (let offset = 1; offset < 900; offset++) {
    tail.accept(
      {
        epoch: 'e',
        offset,
        previous: offset - 1,
        origin: '',
        size: 256_000,
        packet: () => { throw new Error('not read') }
      },
      true
    )
    most = Math.max(most, tail.heldSize)
  }
  tail.close()
  t.ok(most > 1_000_000 && most <= 4_194_304, `${most} characters`)
})

t.test('answers to a broadcast by made-up connections of other nodes are bounded', async (t) => {
  const acks = new BroadcastAcks('a', { send: async () => undefined }, (error) => { throw error })
  const id = acks.newId()
  const result = acks.wait(id, 60_000)
  for (let index = 0; index < 30_000; index++) acks.answered(id, `made up ${index}`, 'acked', 'mallory')
  t.equal(acks.unmatched, 20_000)
  acks.close()
  t.same((await result).acked, [])
})

t.test('of refused upgrades the newest are remembered', async (t) => {
  const refused = new RefusedUpgrades()
  const asker = (index: number): Asker => ({ address: '', credential: String(index), rooms: [''], origin: '' })
  for (let index = 0; index < 10_001; index++) refused.remember(asker(index), new Refusal('server_full'))
  t.equal(refused.take(asker(0)), undefined)
  t.match(refused.take(asker(1)), { word: 'server_full' })
  t.match(refused.take(asker(10_000)), { word: 'server_full' })
})

t.test('a refused upgrade that is remembered keeps neither its request nor its answer', async (t) => {
  const seen: Array<WeakRef<object>> = []
  const server = await start(t, {
    before: async (app) => {
      app.addHook('onRequest', async (request, reply) => { seen.push(new WeakRef(request), new WeakRef(reply)) })
    }
  })
  for (let index = 0; index < 5; index++) {
    t.equal((await ask(server, 'websocket', { token: `of nobody ${index}` })).status, 401)
  }
  await letGo(seen)
  t.equal((await ask(server, 'verdict', { token: 'of nobody 0' })).status, 401)
})

t.test('a remembered refusal says all that the first one has said', async (t) => {
  const details = [{ path: '/a', message: 'is wrong' }]
  const as = { code: 'closed', statusCode: 418, retry: 'never' } as const
  for (const options of [
    {},
    { message: 'later', retryAfter: 1_000, why: { fix: 'wait' } },
    { details, room: 'chat/1', as, outcome: 'unknown', idempotencyKey: 'k' }
  ] as const) {
    const refused = new RefusedUpgrades()
    const refusal = ofUser(new Refusal('server_full', options), 'ada')
    refused.rememberAddress('::1', refusal)
    t.strictSame({ ...refused.take({ address: '::1', credential: '', rooms: ['/'], origin: '' }) }, { ...refusal })
  }
})

t.test(
  'the end of a connection looks at the broadcasts that wait for it, and leaves nothing of them behind',
  async (t) => {
    const acks = new BroadcastAcks('a', { send: async () => undefined }, (error) => { throw error })
    for (let index = 0; index < 3_000; index++) {
      const audience = acks.offered({ ack: `b.${index}` } as never)!
      for (const id of [`c${index}`, 'common']) audience.add({ id, userId: id } as never)
      audience.end()
    }
    const began = used()
    for (let index = 0; index < 20_000; index++) acks.gone(`nobody ${index}`)
    const took = used() - began
    t.ok(took < 1_000, `${Math.round(took)} ms for 20 000 ends`)
    acks.gone('common')
    for (let index = 0; index < 3_000; index++) acks.gone(`c${index}`)
    t.equal(acks.size, 0)
  }
)

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
  for (let turns = 0; turns < 5_000 && [...told.values()].some((changes) => changes.length < 2); turns++) {
    await new Promise(setImmediate)
  }
  t.equal(told.size, 20_000)
  t.ok(
    [...told.values()].every((changes) => changes.length === 2 && changes[1]!.left.length === 1),
    'one join, one leave'
  )
})

t.test('leases are renewed in batches, each once, and those given back meanwhile not at all', async (t) => {
  const batches: string[][] = []
  const ids = Array.from({ length: 2_000 }, (_, index) => `c${index}`)
  let given: string | undefined
  const slots: Slots = new Slots({ capacity: 10_000, user: 5, address: undefined, whenUnavailable: 'admit' }, {
    acquire: async () => true,
    renew: async (batch) => {
      batches.push(batch.map(({ holder }) => holder))
      if (given !== undefined) return
      given = ids.find((id) => !batches[0]!.includes(id))!
      slots.release(given)
    },
    release: async () => undefined,
    count: async () => 0
  }, (error) => { throw error }, () => undefined)
  for (const id of ids) {
    slots.reserve(id, `user of ${id}`, '', [])
    await slots.lease(id, [])
  }
  void slots.restore()
  for (let turns = 0; turns < 100 && batches.flat().length < 1_999; turns++) await new Promise(setImmediate)
  await new Promise(setImmediate)
  t.ok(batches.every((batch) => batch.length <= 500))
  t.same(batches.flat().sort(), ids.filter((id) => id !== given).sort())
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

t.test('outcomes, idempotency keys and denials whose time is over are dropped though no other one comes', async (t) => {
  const { claims } = memory()
  const bounded = new BoundedClaims(claims!)
  bounded.start({ log: { info: () => undefined, warn: () => undefined } })
  t.teardown(() => { bounded.stop() })
  const denials = new Denials({
    store: { deny: async () => undefined, isDenied: async () => false }, bytes: 1_000_000, whenUnavailable: 'admit'
  })
  denials.start()
  t.teardown(() => { denials.stop() })
  for (let index = 0; index < 3_000; index++) {
    await bounded.settle(`key ${index}`, 'hash', '{}', 1, `user ${index}`)
    bounded.published(`name ${index}`, 'ada', 1)
    if (index < 500) denials.remember(`user ${index}`, Date.now() + 300)
  }
  t.ok(bounded.bytes > 100_000 && denials.bytes > 100_000, `${bounded.bytes} ${denials.bytes}`)
  await until('nothing is left', () => bounded.bytes + denials.bytes === 0)
  t.equal(bounded.forgotten, 0)
})

t.test('a node drops the denials that are over for as long as it runs, and stops with it', async (t) => {
  const started = t.capture(Denials.prototype, 'start', Denials.prototype.start)
  const stopped = t.capture(Denials.prototype, 'stop', Denials.prototype.stop)
  const { app } = await start(t)
  t.same([started().length, stopped().length], [1, 0])
  await app.close()
  t.equal(stopped().length, 1)
})
