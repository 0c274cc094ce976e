import t from 'tap'
import type { LeaseStore } from '../../lib/adapters/adapter.js'
import { Slots, type SlotLimits } from '../../lib/admission/slots.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { until } from '../helpers/servers.js'

const LIMITS: SlotLimits = { capacity: 10, user: 10, address: undefined, whenUnavailable: 'admit' }
const ROOM = [{ name: 'chat/1', capacity: 1 }]

interface Asked { readonly key: string, readonly holder: string }

/** A store that does what the test tells it, and keeps what it holds. */
class FakeStore implements LeaseStore {
  readonly held = new Set<string>()
  /** Decides on the next acquisitions. */
  answer: (asked: Asked) => boolean | Promise<boolean> = () => true

  async acquire (key: string, holder: string): Promise<boolean> {
    const isTaken = await this.answer({ key, holder })
    if (isTaken) this.held.add(`${holder} ${key}`)
    return isTaken
  }

  async renew (leases: readonly Asked[]): Promise<void> {
    for (const { key, holder } of leases) this.held.add(`${holder} ${key}`)
  }

  async release (key: string, holder: string): Promise<void> { this.held.delete(`${holder} ${key}`) }
  async count (key: string): Promise<number> { return [...this.held].filter((name) => name.endsWith(key)).length }
  get sorted (): string[] { return [...this.held].sort() }
}

interface Made { readonly slots: Slots, readonly errors: unknown[], readonly lost: string[] }

function make (limits: Partial<SlotLimits> = {}, store?: LeaseStore): Made {
  const errors: unknown[] = []
  const lost: string[] = []
  const slots = new Slots(
    { ...LIMITS, ...limits },
    store,
    (error) => { errors.push(error) },
    (holder) => { lost.push(holder) }
  )
  return { slots, errors, lost }
}

/** The word of the refusal; `undefined` where there was none. */
function refused (action: () => void): string | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return error.word
  }
}

async function rejected (action: Promise<unknown>): Promise<unknown> {
  return await action.then(() => undefined, (error: unknown) => error instanceof Refusal ? error.word : error)
}

/** Resolves when the fake store has answered all that was asked. */
async function settled (): Promise<void> { await new Promise((resolve) => { setImmediate(resolve) }) }

t.test('a full server refuses, and says when to come back', async (t) => {
  const { slots } = make({ capacity: 2 })
  slots.reserve('a', 'ann', '', [])
  slots.reserve('b', 'bob', '', [])
  t.equal(refused(() => { slots.reserve('c', 'cy', '', []) }), 'server_full')
  try {
    slots.checkServer('')
  } catch (error) {
    const { retryAfter } = (error as Refusal).data
    t.ok(retryAfter! >= 1_000 && retryAfter! <= 5_000, String(retryAfter))
  }
  slots.release('a')
  t.equal(refused(() => { slots.reserve('c', 'cy', '', []) }), undefined)
})

t.test('an address has as many slots as its limit says, and no fewer than all without one', async (t) => {
  const { slots } = make({ address: 1 })
  slots.reserve('a', 'ann', '10.0.0.1', [])
  t.equal(refused(() => { slots.reserve('b', 'bob', '10.0.0.1', []) }), 'address_limit')
  t.equal(refused(() => { slots.reserve('c', 'cy', '10.0.0.2', []) }), undefined)
  slots.release('a')
  t.equal(refused(() => { slots.reserve('b', 'bob', '10.0.0.1', []) }), undefined)
  const { slots: unlimited } = make()
  unlimited.reserve('a', 'ann', '10.0.0.1', [])
  t.equal(refused(() => { unlimited.reserve('b', 'bob', '10.0.0.1', []) }), undefined)
})

t.test('a user has as many slots as the limit says', async (t) => {
  const { slots } = make({ user: 1 })
  slots.reserve('a', 'ann', '', [])
  t.notOk(slots.hasUserSlot('ann'))
  t.ok(slots.hasUserSlot('bob'))
  t.equal(refused(() => { slots.reserve('b', 'ann', '', []) }), 'user_limit')
  slots.release('a')
  t.equal(refused(() => { slots.reserve('b', 'ann', '', []) }), undefined)
})

t.test('a room has as many places as its capacity, and any number without one', async (t) => {
  const { slots } = make()
  slots.reserve('a', 'ann', '', [...ROOM, { name: 'open', capacity: undefined }])
  t.equal(refused(() => { slots.reserve('b', 'bob', '', ROOM) }), 'room_full')
  t.equal(refused(() => { slots.reserve('c', 'cy', '', [{ name: 'open', capacity: undefined }]) }), undefined)
  slots.leave('a', 'chat/1')
  t.equal(refused(() => { slots.reserve('b', 'bob', '', ROOM) }), undefined)
})

t.test('a refused holder has taken nothing', async (t) => {
  const { slots } = make({ address: 1, user: 1 })
  slots.reserve('a', 'ann', '10.0.0.1', ROOM)
  const other = { name: 'chat/2', capacity: 1 }
  t.equal(refused(() => { slots.reserve('b', 'bob', '10.0.0.2', [other, ...ROOM]) }), 'room_full')
  t.notOk(slots.has('b'))
  t.equal(refused(() => { slots.reserve('c', 'bob', '10.0.0.2', [other]) }), undefined)
})

t.test('the holders are named, and each is counted once', async (t) => {
  const { slots } = make()
  slots.reserve('a', 'ann', '', [])
  slots.reserve('b', 'ann', '', [])
  t.same([...slots.holders()].sort(), ['a', 'b'])
  t.equal(slots.taken, 2)
  slots.release('a')
  t.same([...slots.holders()], ['b'])
  t.notOk(slots.has('a'))
})

t.test('what is released twice is given back once', async (t) => {
  const { slots } = make({ user: 2, address: 2 })
  slots.reserve('a', 'ann', '10.0.0.1', [{ name: 'chat/1', capacity: 2 }])
  slots.reserve('b', 'ann', '10.0.0.1', [{ name: 'chat/1', capacity: 2 }])
  for (let time = 0; time < 2; time++) {
    slots.leave('a', 'chat/1')
    slots.release('a')
  }
  slots.reserve('c', 'ann', '10.0.0.1', [{ name: 'chat/1', capacity: 2 }])
  t.equal(refused(() => { slots.checkAddress('10.0.0.1') }), 'address_limit')
  t.equal(refused(() => { slots.checkRooms([{ name: 'chat/1', capacity: 2 }]) }), 'room_full')
  t.notOk(slots.hasUserSlot('ann'))
})

t.test('an open connection takes a place in one more room once, and is refused in a full one', async (t) => {
  const { slots } = make()
  slots.reserve('a', 'ann', '', [])
  slots.reserve('b', 'bob', '', [])
  t.equal(await rejected(slots.enter('a', 'chat/1', 1)), undefined)
  t.equal(await rejected(slots.enter('a', 'chat/1', 1)), undefined, 'it has its place')
  t.equal(await rejected(slots.enter('b', 'chat/1', 1)), 'room_full')
  slots.leave('a', 'chat/1')
  t.equal(await rejected(slots.enter('b', 'chat/1', 1)), undefined)
  t.equal(await rejected(slots.enter('nobody', 'chat/2', 1)), undefined)
  t.equal(refused(() => { slots.checkRooms([{ name: 'chat/2', capacity: 1 }]) }), undefined)
})

t.test('the newer connection of a user gets the slot and the places of the one that it replaces', async (t) => {
  const { slots } = make({ user: 1 })
  slots.reserve('old', 'ann', '', ROOM)
  t.equal(refused(() => { slots.checkRooms(ROOM) }), 'room_full')
  t.equal(refused(() => { slots.checkRooms(ROOM, 'old') }), undefined)
  slots.reserve('new', 'ann', '', ROOM, 'old')
  t.notOk(slots.hasUserSlotOf('old'))
  t.ok(slots.hasUserSlotOf('new'))
  t.equal(slots.replace('new'), 'old')
  t.equal(slots.replace('new'), undefined, 'it ends one connection')
  slots.release('old')
  t.notOk(slots.hasUserSlot('ann'))
  t.equal(refused(() => { slots.checkRooms(ROOM) }), 'room_full')
  slots.release('new')
  t.ok(slots.hasUserSlot('ann'))
  t.equal(refused(() => { slots.checkRooms(ROOM) }), undefined)
})

t.test('a newer connection that is refused after all gives back what was lent to it', async (t) => {
  const { slots } = make({ user: 1 })
  const rooms = [...ROOM, { name: 'chat/2', capacity: 1 }]
  slots.reserve('old', 'ann', '', rooms)
  slots.reserve('new', 'ann', '', rooms, 'old')
  slots.leave('old', 'chat/2')
  slots.release('new')
  t.ok(slots.hasUserSlotOf('old'))
  t.notOk(slots.hasUserSlot('ann'))
  t.equal(refused(() => { slots.checkRooms(ROOM) }), 'room_full')
  t.equal(refused(() => { slots.checkRooms([rooms[1]!]) }), undefined, 'it has left that room meanwhile')
})

t.test('the leases are those of the user and of the rooms with a capacity', async (t) => {
  const store = new FakeStore()
  const { slots } = make({ user: 1 }, store)
  t.ok(slots.isLeased)
  t.notOk(make().slots.isLeased)
  const rooms = [...ROOM, { name: 'open', capacity: undefined }]
  slots.reserve('a', 'ann', '', rooms)
  await slots.lease('a', rooms)
  t.same(store.sorted, ['a room:chat/1', 'a user:ann'])
  slots.release('a')
  t.same(store.sorted, [])
})

t.test('who is over the limit on other nodes is refused by the word of what is full, and keeps no lease', async (t) => {
  for (const [full, word] of [['user:', 'user_limit'], ['room:', 'room_full']] as const) {
    const store = new FakeStore()
    store.answer = ({ key }) => !key.startsWith(full)
    const { slots } = make({}, store)
    slots.reserve('a', 'ann', '', ROOM)
    t.equal(await rejected(slots.lease('a', ROOM)), word)
    slots.release('a')
    t.same(store.sorted, [])
  }
})

t.test('a store that cannot be asked admits or refuses, as the option says', async (t) => {
  for (const whenUnavailable of ['admit', 'refuse'] as const) {
    const store = new FakeStore()
    const away = new Refusal('unavailable')
    store.answer = () => { throw away }
    const { slots } = make({ whenUnavailable }, store)
    slots.reserve('a', 'ann', '', ROOM)
    t.equal(await rejected(slots.lease('a', ROOM)), whenUnavailable === 'admit' ? undefined : 'unavailable')
    slots.release('a')
    slots.reserve('b', 'bob', '', [])
    t.equal(await rejected(slots.enter('b', 'chat/1', 1)), whenUnavailable === 'admit' ? undefined : 'unavailable')
    const isFree = refused(() => { slots.checkRooms(ROOM) }) === undefined
    t.equal(isFree, whenUnavailable === 'refuse', 'a refused join has no place')
  }
})

t.test('slots that were taken without a lease have one when the store is asked again', async (t) => {
  const store = new FakeStore()
  store.answer = () => { throw new Refusal('unavailable') }
  const { slots } = make({}, store)
  for (const holder of ['a', 'b']) slots.reserve(holder, 'ann', '', [{ name: 'chat/1', capacity: 2 }])
  for (const holder of ['a', 'b']) await slots.lease(holder, [{ name: 'chat/1', capacity: 2 }])
  slots.release('b')
  t.same(store.sorted, [])
  await slots.restore()
  t.same(store.sorted, ['a room:chat/1', 'a user:ann'])
})

t.test('a lease that is answered when its holder is gone is given back', async (t) => {
  const store = new FakeStore()
  const answers: Array<() => void> = []
  store.answer = async () => await new Promise((resolve) => { answers.push(() => { resolve(true) }) })
  const { slots } = make({}, store)
  slots.reserve('a', 'ann', '', ROOM)
  const leased = slots.lease('a', ROOM)
  slots.release('a')
  answers.shift()!()
  await leased
  await settled()
  t.same([answers, store.sorted], [[], []], 'and no other is asked for')
  await slots.restore()
  t.same(store.sorted, [])
})

t.test('a lease that is answered when its holder has left the room is given back', async (t) => {
  const store = new FakeStore()
  let answer: () => void = () => undefined
  store.answer = async () => await new Promise((resolve) => { answer = () => { resolve(true) } })
  const { slots } = make({}, store)
  slots.reserve('a', 'ann', '', [])
  const entered = slots.enter('a', 'chat/1', 1)
  slots.leave('a', 'chat/1')
  answer()
  await entered
  t.same(store.sorted, [])
})

t.test('a join that is refused on other nodes leaves its place free here', async (t) => {
  const store = new FakeStore()
  const { slots } = make({}, store)
  slots.reserve('a', 'ann', '', [])
  store.answer = () => false
  t.equal(await rejected(slots.enter('a', 'chat/1', 1)), 'room_full')
  t.equal(refused(() => { slots.checkRooms(ROOM) }), undefined)
})

t.test('who is handed over to another node keeps its counts and no lease', async (t) => {
  const store = new FakeStore()
  const { slots } = make({}, store)
  slots.reserve('a', 'ann', '', ROOM)
  await slots.lease('a', ROOM)
  slots.handOver('a')
  await slots.restore()
  t.same(store.sorted, [])
  t.equal(slots.taken, 1)
  t.equal(refused(() => { slots.checkRooms(ROOM) }), 'room_full')
})

t.test('what was lent is leased again for the one that gets it back', async (t) => {
  const store = new FakeStore()
  const { slots, lost } = make({ user: 1 }, store)
  slots.reserve('old', 'ann', '', ROOM)
  await slots.lease('old', ROOM)
  slots.reserve('new', 'ann', '', ROOM, 'old')
  await settled()
  t.same(store.sorted, [], 'nothing is held until the newer one has asked')
  slots.release('new')
  await settled()
  t.same(store.sorted, ['old room:chat/1', 'old user:ann'])
  t.same(lost, [])
})

t.test('who cannot have its lent slot back is named, but not where the store could not be asked', async (t) => {
  for (const [answer, ends] of [
    [() => false, ['old']],
    [() => { throw new Refusal('unavailable') }, []]
  ] as const) {
    const store = new FakeStore()
    const { slots, errors, lost } = make({ user: 1, whenUnavailable: 'refuse' }, store)
    slots.reserve('old', 'ann', '', [])
    await slots.lease('old', [])
    slots.reserve('new', 'ann', '', [], 'old')
    store.answer = answer
    slots.release('new')
    await settled()
    t.same(lost, ends)
    t.equal(errors.length, 1 - ends.length)
  }
})

t.test('one lease that cannot be taken back keeps no other one from it, nor from its renewal', async (t) => {
  for (const missing of ['user:ann', 'room:chat/1', 'room:chat/2']) {
    const store = new FakeStore()
    const { slots, errors, lost } = make({ user: 1, whenUnavailable: 'refuse' }, store)
    const rooms = ['chat/1', 'chat/2'].map((name) => ({ name, capacity: 10 }))
    slots.reserve('old', 'ann', '', rooms)
    await slots.lease('old', rooms)
    slots.reserve('new', 'ann', '', rooms, 'old')
    await settled()
    store.answer = ({ key }) => {
      if (key === missing) throw new Refusal('unavailable')
      return true
    }
    slots.release('new')
    await settled()
    const wanted = ['old room:chat/1', 'old room:chat/2', 'old user:ann'].filter((name) => name !== `old ${missing}`)
    t.same(store.sorted, wanted, missing)
    t.same([errors.length, lost], [1, []])
    store.held.clear()
    await slots.restore()
    t.same(store.sorted, wanted)
  }
})

for (const [what, limit] of [['its user', 'user:ann'], ['a room', 'room:chat/1']] as const) {
  t.test(`the lent slot of ${what} for which a store that refuses could not be asked is leased again once it can be, unless it is gone`, async (t) => {
    for (const end of ['stays', 'is taken by another', 'is released', 'is handed over', 'is lent'] as const) {
      const store = new FakeStore()
      const { slots, errors, lost } = make({ user: 1, whenUnavailable: 'refuse' }, store)
      slots.reserve('old', 'ann', '', ROOM)
      await slots.lease('old', ROOM)
      slots.reserve('new', 'ann', '', ROOM, 'old')
      await settled()
      let asked = 0
      store.answer = ({ key }) => {
        if (key !== limit) return true
        asked++
        throw new Refusal('unavailable')
      }
      slots.release('new')
      await until('it is asked again', () => asked > 1)
      t.equal(errors.length, 1, 'and said once')
      store.answer = ({ key }) => key !== limit || end !== 'is taken by another'
      if (end === 'is released') slots.release('old')
      if (end === 'is handed over') slots.handOver('old')
      if (end === 'is lent') slots.reserve('newest', 'ann', '', ROOM, 'old')
      if (end === 'stays') await until('it is leased', () => store.held.has(`old ${limit}`))
      else if (end === 'is taken by another') await until('it is lost', () => lost.length > 0)
      else {
        await new Promise((resolve) => { setTimeout(resolve, 1_200) })
        t.same(store.sorted, [], end)
      }
      t.same(lost, end === 'is taken by another' ? ['old'] : [])
    }
  })
}

t.test('what was lent twice while the store could not be asked is leased again whole', async (t) => {
  const rooms = ['chat/1', 'chat/2'].map((name) => ({ name, capacity: 1 }))
  const store = new FakeStore()
  const { slots } = make({ whenUnavailable: 'refuse' }, store)
  slots.reserve('old', 'ann', '', rooms)
  await slots.lease('old', rooms)
  const wanted = store.sorted
  for (const [index, room] of rooms.entries()) {
    slots.reserve(`new-${index}`, 'ann', '', [room], 'old')
    await settled()
    store.answer = () => { throw new Refusal('unavailable') }
    slots.release(`new-${index}`)
    await settled()
  }
  store.answer = () => true
  await until('all is leased', () => store.sorted.length === wanted.length)
  t.same(store.sorted, wanted)
  slots.release('old')
})

t.test('the connections of a user are those of this node, and those of the others where it has none', async (t) => {
  const store = new FakeStore()
  const { slots } = make({}, store)
  store.held.add('far user:bob').add('farther user:bob')
  slots.reserve('a', 'ann', '', [])
  t.equal(await slots.countUser('ann'), 1)
  t.equal(await slots.countUser('bob'), 2)
  t.equal(await make().slots.countUser('bob'), 0)
})

t.test('a lease that is answered late is given back as itself, not as the one that its holder has taken since', async (t) => {
  /** Frees a slot unless it was taken with a higher fence. */
  class FencedStore extends FakeStore {
    readonly fences = new Map<string, number>()
    override async acquire (key: string, holder: string, _limit = 1, _ttl = 0, fence = 0): Promise<boolean> {
      this.fences.set(`${holder} ${key}`, fence)
      return await super.acquire(key, holder)
    }

    override async release (key: string, holder: string, fence = 0): Promise<void> {
      if ((this.fences.get(`${holder} ${key}`) ?? 0) <= fence) await super.release(key, holder)
    }
  }
  const store = new FencedStore()
  const answers: Array<() => void> = []
  store.answer = async () => await new Promise((resolve) => { answers.push(() => { resolve(true) }) })
  const { slots } = make({}, store)
  slots.reserve('poll', 'ann', '', [])
  const former = slots.lease('poll', [])
  slots.release('poll')
  slots.reserve('poll', 'ann', '', [])
  const newer = slots.lease('poll', [])
  for (const index of [1, 0]) {
    answers[index]!()
    await settled()
  }
  await Promise.all([former, newer])
  t.same(store.sorted, ['poll user:ann'], 'the newer connection has its slot')
  slots.release('poll')
  await settled()
  t.same(store.sorted, [])
})

/** A store whose acquisitions wait until the test answers them, the oldest first. */
function asked (): { readonly store: FakeStore, readonly answers: Array<(isTaken: boolean) => void> } {
  const store = new FakeStore()
  const answers: Array<(isTaken: boolean) => void> = []
  store.answer = async () => await new Promise((resolve) => { answers.push(resolve) })
  return { store, answers }
}

t.test('a join that is refused late leaves the place alone that its holder has taken since', async (t) => {
  const { store, answers } = asked()
  const { slots } = make({}, store)
  slots.reserve('poll', 'ann', '', [])
  const former = rejected(slots.enter('poll', 'chat/1', 1))
  slots.leave('poll', 'chat/1')
  const newer = slots.enter('poll', 'chat/1', 1)
  answers.shift()!(false)
  t.equal(await former, 'room_full')
  t.equal(refused(() => { slots.checkRooms(ROOM) }), 'room_full')
  answers.shift()!(true)
  await newer
  t.same(store.sorted, ['poll room:chat/1'])
})

t.test('a join that fails late leaves the place alone of a connection that has come back by the same id', async (t) => {
  const { slots } = make({})
  slots.reserve('poll', 'ann', '', [])
  const giveBack = await slots.enter('poll', 'chat/1', 1)
  slots.release('poll')
  slots.reserve('poll', 'ann', '', ROOM)
  giveBack()
  t.equal(refused(() => { slots.checkRooms(ROOM) }), 'room_full')
  ;(await slots.enter('poll', 'chat/1', 1))()
  t.equal(refused(() => { slots.checkRooms(ROOM) }), undefined, 'one that fails in time gives it back')
})

t.test('a join that fails while its place is lent to a newer connection gives it back for good', async (t) => {
  for (const isFirst of [true, false]) {
    const { slots } = make({ user: 1 })
    slots.reserve('old', 'ann', '', [])
    const giveBack = await slots.enter('old', 'chat/1', 1)
    slots.reserve('new', 'ann', '', ROOM, 'old')
    if (isFirst) giveBack()
    slots.release('new')
    if (!isFirst) giveBack()
    t.equal(refused(() => { slots.checkRooms(ROOM) }), undefined)
  }
})

t.test('what ends late releases its own slots, not those of a connection that has come back by the same id', async (t) => {
  const { slots } = make({ capacity: 1 })
  slots.reserve('poll', 'ann', '', [])
  const releaseFormer = slots.releasing('poll')
  slots.release('poll')
  slots.reserve('poll', 'ann', '', [])
  releaseFormer()
  t.equal(refused(() => { slots.checkServer('') }), 'server_full')
  slots.releasing('poll')()
  t.equal(slots.taken, 0)
})

t.test('a slot that cannot be had back ends no connection that has come back by the same id meanwhile', async (t) => {
  const { store, answers } = asked()
  const { slots, lost } = make({ user: 1 }, store)
  slots.reserve('poll', 'ann', '', [])
  slots.reserve('new', 'ann', '', [], 'poll')
  slots.release('new')
  slots.release('poll')
  slots.reserve('poll', 'ann', '', [])
  answers.shift()!(false)
  await settled()
  t.same(lost, [])
})
