import { mock } from 'node:test'
import t from 'tap'
import type { LeaseStore } from '../../lib/adapters/adapter.js'
import { matchList } from '../helpers/match-list.js'
import { until } from '../helpers/servers.js'
import { Leases, type HeldLease, type Lease, type LeasesOptions } from '../../lib/admission/leases.js'

const ANN: HeldLease = { key: 'user:ann', holder: 'a', fence: 1, isHeld: () => true }

/** A store that writes down what it is asked, and fails while it is told to. */
class FakeStore implements LeaseStore {
  readonly asked: unknown[][] = []
  readonly renewed: number[] = []
  failure: Error | undefined
  renewal?: (ttl: number) => number
  /** Runs within each renewal. */
  onRenew: (leases: readonly Lease[]) => void | Promise<void> = () => undefined

  async acquire (...asked: Parameters<LeaseStore['acquire']>): Promise<boolean> {
    if (this.failure !== undefined) throw this.failure
    this.asked.push(['acquire', ...asked.slice(0, 4)])
    return asked[2] > 0
  }

  async renew (leases: readonly Lease[]): Promise<void> {
    if (this.failure !== undefined) throw this.failure
    this.renewed.push(leases.length)
    await this.onRenew(leases)
  }

  async release (...asked: [key: string, holder: string, fence?: number]): Promise<void> {
    if (this.failure !== undefined) throw this.failure
    this.asked.push(['release', ...asked.slice(0, 2)])
  }

  async count (): Promise<number> { return 7 }
}

function make (store: LeaseStore, options: Partial<LeasesOptions> = {}): { leases: Leases, errors: unknown[] } {
  const errors: unknown[] = []
  const leases = new Leases(store, {
    whenUnavailable: 'refuse',
    held: () => [],
    onError: (error) => { errors.push(error) },
    ...options
  })
  return { leases, errors }
}

function held (count: number): HeldLease[] {
  return Array.from({ length: count }, (_, index) => ({ key: 'room:1', holder: String(index), fence: 1, isHeld: () => true }))
}

async function settled (): Promise<void> { await new Promise((resolve) => { setImmediate(resolve) }) }

t.test('a lease is asked of the store with its limit, for a minute, and the answer is the answer', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store)
  t.equal(await leases.acquire(ANN, 3), true)
  t.equal(await leases.acquire(ANN, 0), false)
  t.same(store.asked, [['acquire', 'user:ann', 'a', 3, 60_000], ['acquire', 'user:ann', 'a', 0, 60_000]])
  t.equal(await leases.count('user:ann'), 7)
})

t.test('a store that fails rejects, and is given back what it may have taken all the same', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store)
  store.failure = new Error('away')
  await t.rejects(leases.acquire(ANN, 1), store.failure)
  store.failure = undefined
  await leases.restore()
  t.same(store.asked, [['release', 'user:ann', 'a']])
})

t.test('a store that fails admits where the option says so, and nothing is given back to it', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store, { whenUnavailable: 'admit' })
  store.failure = new Error('away')
  t.equal(await leases.acquire(ANN, 1), true)
  store.failure = undefined
  await leases.restore()
  t.same(store.asked, [])
})

t.test('a store that was only late is told within seconds of a lease that it was not asked for', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store, { whenUnavailable: 'admit' })
  const renewed: Lease[] = []
  store.onRenew = (some) => { renewed.push(...some) }
  t.teardown(() => { leases.stop() })
  leases.start()
  store.failure = new Error('late')
  const gone = { key: 'room:1', holder: 'a', fence: 1, isHeld: () => false }
  t.same([await leases.acquire(ANN, 1), await leases.acquire(gone, 1)], [true, true])
  await new Promise((resolve) => { setTimeout(resolve, 400) })
  store.failure = undefined
  await until('the store is told', () => renewed.length > 0)
  await leases.restore()
  t.same(renewed, [ANN], 'of what is held, and once')
})

t.test('a lease whose release failed is given back at the next renewal, and once', async (t) => {
  const store = new FakeStore()
  const { leases, errors } = make(store)
  store.failure = new Error('away')
  leases.giveBack(ANN)
  await settled()
  t.same(errors, [store.failure])
  store.failure = undefined
  await leases.restore()
  await leases.restore()
  t.same(store.asked, [['release', 'user:ann', 'a']])
})

t.test('a lease whose release failed is not given back when it has been taken again', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store)
  store.failure = new Error('away')
  leases.giveBack(ANN)
  await settled()
  store.failure = undefined
  await leases.acquire(ANN, 1)
  await leases.restore()
  t.same(store.asked, [['acquire', 'user:ann', 'a', 1, 60_000]])
})

t.test('many leases are renewed a hundred at a time', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store, { held: () => held(250) })
  await leases.restore()
  t.same(store.renewed, [100, 100, 50])
})

t.test('leases whose renewal fails keep none of the others from being renewed', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store, { held: () => held(250) })
  store.onRenew = () => { if (store.renewed.length === 1) throw new Error('its shard is away') }
  await t.rejects(leases.restore(), { message: 'its shard is away' })
  t.same(store.renewed, [100, 100, 50])
})

t.test('nothing is asked of the store where nothing is held', async (t) => {
  const store = new FakeStore()
  await make(store).leases.restore()
  t.same(store.renewed, [])
})

t.test('a lease that is given up within its own renewal is given back', async (t) => {
  const store = new FakeStore()
  let isHeld = true
  const { leases } = make(store, { held: () => [{ ...ANN, isHeld: () => isHeld }] })
  store.onRenew = () => { isHeld = false }
  await leases.restore()
  t.same(store.asked, [['release', 'user:ann', 'a']])
})

t.test('a lease that is given up within its own renewal is given back where another one of the same renewal fails', async (t) => {
  const store = new FakeStore()
  let isHeld = true
  const { leases } = make(store, { held: () => [{ ...ANN, isHeld: () => isHeld }, ...held(1)] })
  store.onRenew = () => {
    isHeld = false
    throw new Error('its shard is away')
  }
  await t.rejects(leases.restore(), { message: 'its shard is away' })
  t.same(store.asked, [['release', 'user:ann', 'a']])
})

t.test('who asks for a renewal during one waits for another, and all who ask then wait for the same', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store, { held: () => held(1) })
  let go: () => void = () => undefined
  store.onRenew = async () => {
    store.onRenew = () => undefined
    await new Promise<void>((resolve) => { go = resolve })
  }
  const asked = [leases.restore(), leases.restore(), leases.restore()]
  t.same(store.renewed, [1])
  go()
  await Promise.all(asked)
  t.same(store.renewed, [1, 1])
})

t.test('a renewal that fails rejects, and the next one is made', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store, { held: () => held(1) })
  store.failure = new Error('away')
  await t.rejects(leases.restore(), store.failure)
  store.failure = undefined
  await leases.restore()
  t.same(store.renewed, [1])
})

t.test('it renews in the period that the store asks for, otherwise three times in a minute, until it is stopped', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  for (const [renewal, period] of [[undefined, 20_000], [(ttl: number) => ttl / 60, 1_000]] as const) {
    const store = new FakeStore()
    if (renewal !== undefined) store.renewal = renewal
    const { leases } = make(store, { held: () => held(1) })
    leases.start()
    mock.timers.tick(period - 1)
    t.same(store.renewed, [])
    mock.timers.tick(1)
    await settled()
    t.same(store.renewed, [1])
    mock.timers.tick(period)
    await settled()
    t.same(store.renewed, [1, 1])
    leases.stop()
    mock.timers.tick(2 * period)
    t.same(store.renewed, [1, 1])
  }
})

t.test('a release that failed is tried again soon, then ever later up to two seconds, until it is stopped', async (t) => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  const store = new FakeStore()
  const { leases, errors } = make(store)
  leases.start()
  store.failure = new Error('away')
  leases.giveBack(ANN)
  await settled()
  for (const wait of [250, 500, 1_000, 2_000, 2_000]) {
    const failed = errors.length
    mock.timers.tick(wait - 1)
    await settled()
    t.equal(errors.length, failed)
    mock.timers.tick(1)
    await settled()
    t.equal(errors.length, failed + 1, `after ${wait} ms`)
  }
  store.failure = undefined
  mock.timers.tick(2_000)
  await settled()
  t.same(store.asked.splice(0), [['release', 'user:ann', 'a']])
  for (const isStopped of [false, true]) {
    store.failure = new Error('away')
    leases.giveBack(ANN)
    await settled()
    store.failure = undefined
    if (isStopped) leases.stop()
    mock.timers.tick(250)
    await settled()
    t.same(store.asked.splice(0), isStopped ? [] : [['release', 'user:ann', 'a']], 'soon again once one has succeeded')
  }
})

t.test('however many releases failed, all of them are tried again, a hundred at a time', async (t) => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  const store = new FakeStore()
  const { leases } = make(store)
  leases.start()
  t.teardown(() => { leases.stop() })
  store.failure = new Error('away')
  for (let index = 0; index < 250; index++) leases.giveBack({ key: `user:${index}`, holder: 'a', fence: 1 })
  await settled()
  store.failure = undefined
  for (const count of [100, 200, 250, 250]) {
    mock.timers.tick(500)
    await settled()
    t.equal(store.asked.length, count)
  }
})

t.test('what is owed of a slot that was taken anew is not forgotten for an older release that comes late', async (t) => {
  const store = new FakeStore()
  const fences: unknown[] = []
  const { leases } = make({
    ...store,
    acquire: async () => true,
    renew: async () => {},
    count: async () => 0,
    release: async (_key, _holder, fence) => {
      if (store.failure !== undefined) throw store.failure
      fences.push(fence)
    }
  })
  store.failure = new Error('away')
  leases.giveBack({ ...ANN, fence: 2 })
  await settled()
  store.failure = undefined
  leases.giveBack({ ...ANN, fence: 1 })
  await settled()
  t.same(fences, [], 'the newer release frees it as well')
  await leases.restore()
  await settled()
  t.same(fences, [2])
})

t.test('a lease that is refused an answer late does not take the place of a newer one that is still to be told', async (t) => {
  const failing: Array<() => void> = []
  const told: unknown[] = []
  const { leases } = make({
    acquire: async () => await new Promise((_resolve, reject) => { failing.push(() => { reject(new Error('away')) }) }),
    renew: async (some) => { told.push(...some.map(({ fence }) => fence)) },
    count: async () => 0,
    release: async () => {}
  }, { whenUnavailable: 'admit' })
  const taken = [1, 2].map((fence) => leases.acquire({ ...ANN, fence, isHeld: () => fence === 2 }, 1))
  for (const fail of failing.reverse()) fail()
  t.same(await Promise.all(taken), [true, true])
  await leases.restore()
  await settled()
  t.same(told, [2])
})

t.test('what was given back lately is given back once more where the data may be older, unless it was taken anew or has moved', async (t) => {
  const store = new FakeStore()
  store.renewal = () => 600_000
  const { leases } = make(store)
  const lease = (key: string, isMoved = false): Lease => ({ key, holder: 'a', fence: 1, isMoved })
  for (const each of [lease('room:goes'), lease('room:again'), lease('room:moves', true)]) leases.giveBack(each)
  await settled()
  await leases.acquire({ ...lease('room:again'), fence: 2, isHeld: () => true }, 1)
  store.asked.length = 0
  await leases.restore()
  await settled()
  t.same(store.asked, [], 'the data has everything')
  await leases.restore(true)
  await settled()
  t.same(store.asked, [['release', 'room:goes', 'a']])
})

t.test('leases that end on their own are given back once', async (t) => {
  const store = new FakeStore()
  const { leases } = make(store)
  leases.giveBack(ANN)
  await settled()
  await leases.restore(true)
  await settled()
  t.same(store.asked, [['release', 'user:ann', 'a']])
})

t.test('slots to be given back that are given up because too many are owed are reported once, with how many they are', async (t) => {
  const store = new FakeStore()
  store.failure = new Error('away')
  const { leases, errors } = make(store)
  for (let index = 0; index < 10_003; index++) leases.giveBack({ key: 'room:1', holder: String(index), fence: 1 })
  await settled()
  await leases.restore().catch(() => {})
  const given = (): string[] => errors.map(String).filter((error) => error !== 'Error: away')
  matchList(t, given(), [/^Error: 3 slots that are free are counted until they run out/])
  await leases.restore().catch(() => {})
  t.equal(given().length, 1)
})
