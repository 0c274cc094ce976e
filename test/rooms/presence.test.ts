import { mock } from 'node:test'
import t from 'tap'
import type { PresenceEntry, PresenceStore } from '../../lib/adapters/adapter.js'
import { PresenceKeeper } from '../../lib/rooms/presence.js'
import { matchList } from '../helpers/match-list.js'
import { until } from '../helpers/servers.js'

const LEASE = 60_000

/** A store in which nobody is. */
const NOTHING: PresenceStore = {
  join: () => {},
  leave: () => {},
  snapshot: () => ({ sequence: 0, total: 0 }),
  sweep: () => {}
}

t.test(
  'what is to be renewed while a renewal is under way is renewed behind it, also those that it had passed',
  async (t) => {
    const renewed: string[][] = []
    const waiting: Array<() => void> = []
    const keeper = new PresenceKeeper({
      ...NOTHING,
      renew: async (entries) => {
        renewed.push(entries.map(({ entry }) => entry.connection))
        await new Promise<void>((resolve) => { waiting.push(resolve) })
      }
    }, { grace: 1_000, lease: LEASE }, () => [], (error) => { t.fail(String(error)) })
    const entries: PresenceEntry[] = ['c1', 'c2'].map((connection) => ({ userId: 'ada', connection }))
    for (const entry of entries) await keeper.join('chat/1', entry)
    const renewals = [keeper.renew(), keeper.renew(), keeper.renew()]
    t.same(renewed, [['c1', 'c2']])
    waiting.shift()!()
    await new Promise(setImmediate)
    t.same(renewed, [['c1', 'c2'], ['c1', 'c2']], 'once more, however often it was asked for')
    waiting.shift()!()
    await new Promise(setImmediate)
    await Promise.all(renewals)
    t.equal(renewed.length, 2)
  }
)

t.test('entries whose renewal fails keep none of the others from being renewed', async (t) => {
  const renewed = new Set<string>()
  const keeper = new PresenceKeeper({
    ...NOTHING,
    renew: async (entries) => {
      if (entries.some(({ room }) => room === 'chat/0')) throw new Error('its shard is away')
      for (const { room } of entries) renewed.add(room)
    }
  }, { grace: 1_000, lease: LEASE }, () => [], () => {})
  for (let room = 0; room < 1_200; room++) await keeper.join(`chat/${room}`, { userId: 'ada', connection: 'c' })
  await t.rejects(keeper.renew(), { message: 'its shard is away' })
  t.equal(renewed.size, 700, 'all that are not in one step with it')
})

t.test(
  'an entry that ends, or goes to another node, while it is being renewed is ended behind the renewal once more',
  async (t) => {
    const held = new Set<string>()
    let renewed: (() => void) | undefined
    const keeper = new PresenceKeeper({
      ...NOTHING,
      join: (_room, { connection }) => { held.add(connection) },
      leave: (_room, { connection }) => { held.delete(connection) },
      renew: async (entries) => {
        await new Promise<void>((resolve) => { renewed = resolve })
        for (const { entry } of entries) held.add(entry.connection)
      }
    }, { grace: 1_000, lease: LEASE }, () => [], (error) => { t.fail(String(error)) })
    const [stays, goes, moves] = ['stays', 'goes', 'moves'].map((connection) => ({ userId: 'ada', connection }))
    for (const entry of [stays, goes, moves]) await keeper.join('chat/1', entry!)
    const renewal = keeper.renew()
    keeper.leave('chat/1', goes!, false)
    keeper.handOver('chat/1', moves!)
    t.same([...held], ['stays'])
    renewed!()
    await renewal
    t.same([...held], ['stays'])
  }
)

t.test(
  'an entry that goes to another node leaves that node time to renew it, also where members leave without grace',
  async (t) => {
    const graces: number[] = []
    const keeper = new PresenceKeeper({
      ...NOTHING,
      leave: (_room, _entry, grace) => { graces.push(grace) },
      renew: () => {}
    }, { grace: 0, lease: 20_000 }, () => [], (error) => { t.fail(String(error)) })
    const entry: PresenceEntry = { userId: 'ada', connection: 'moves' }
    await keeper.join('chat/1', entry)
    keeper.handOver('chat/1', entry)
    t.equal(graces.length, 1)
    t.ok(graces[0]! > 20_000 / 3, `${String(graces[0])} ms are longer than the time between two renewals`)
  }
)

t.test('an entry whose data has changed is renewed with the new data, and one that has left is not made again', async (t) => {
  const renewed: unknown[] = []
  const keeper = new PresenceKeeper({
    ...NOTHING,
    renew: (entries) => { renewed.push(...entries.map(({ entry: { userId, data } }) => [userId, data])) }
  }, { grace: 1_000, lease: LEASE }, () => [], (error) => { t.fail(String(error)) })
  const [ada, bob] = ['ada', 'bob'].map((userId) => ({ userId, connection: `tab of ${userId}`, data: 'new' }))
  for (const entry of [ada!, bob!]) await keeper.join('chat/1', entry)
  t.ok(keeper.isHeld('chat/1', 'ada', 'tab of ada'))
  t.notOk(keeper.isHeld('chat/1', 'bob', 'tab of ada'), 'of another user')
  t.notOk(keeper.isHeld('chat/2', 'ada', 'tab of ada'), 'of another room')
  keeper.replace('chat/1', { ...ada!, data: 'away' })
  keeper.leave('chat/1', bob!, true)
  keeper.replace('chat/1', { ...bob!, data: 'away' })
  await keeper.renew()
  t.same(renewed, [['ada', 'away']])
})

t.test('a join that is given up late ends its own entry, not that of a later join of the same connection', async (t) => {
  const left: unknown[] = []
  const keeper = new PresenceKeeper({
    ...NOTHING,
    leave: (_room, { connection, fence }) => { left.push([connection, fence]) }
  }, { grace: 1_000, lease: LEASE }, () => [], (error) => { t.fail(String(error)) })
  const [former, newer] = [1, 2].map(() => keeper.fenced({ userId: 'ada', connection: 'poll' }))
  await keeper.join('chat/1', former!)
  await keeper.join('chat/1', newer!)
  keeper.leave('chat/1', former!, false)
  t.ok(keeper.isHeld('chat/1', 'ada', 'poll'))
  t.same(left, [])
  keeper.leave('chat/1', newer!, false)
  t.notOk(keeper.isHeld('chat/1', 'ada', 'poll'))
  t.same(left, [['poll', 2]])
})

t.test('what a client has left behind is not renewed any more, and other nodes are told only where one holds it', async (t) => {
  const renewed: string[] = []
  const asked: Array<readonly string[]> = []
  const told: unknown[] = []
  const keeper = new PresenceKeeper({
    ...NOTHING,
    succeed: (_room, _userId, former) => {
      asked.push(former)
      return former.includes('elsewhere')
    },
    renew: (entries) => { renewed.push(...entries.map(({ entry }) => entry.connection)) }
  }, { grace: 1_000, lease: LEASE }, () => [], (error) => { t.fail(String(error)) }, (...all) => { told.push(all) })
  const [old, present] = ['old', 'present'].map((connection) => ({ userId: 'ada', connection }))
  await keeper.join('chat/1', old!)
  await keeper.join('chat/2', old!)
  await keeper.join('chat/1', { userId: 'bob', connection: 'bobs' })
  await keeper.join('chat/1', present!)
  keeper.succeed('chat/1', present!, 'present')
  t.same(asked, [], 'who polls comes back as itself')
  keeper.succeed('chat/1', present!, 'old,bobs')
  await new Promise(setImmediate)
  t.same([asked, told], [[['old', 'bobs']], []])
  keeper.succeed('chat/1', present!, 'elsewhere')
  await new Promise(setImmediate)
  t.same(told, [['chat/1', 'ada', ['elsewhere']]])
  await keeper.renew()
  t.same(renewed.sort(), ['bobs', 'old', 'present'], 'in the other room it is still held')
})

t.test('a leave that is still to be told is told where the return of its client could not be told either', async (t) => {
  const held = new Set<string>()
  let isAway = false
  let isSuccessionLost = true
  const left: string[] = []
  const keeper = new PresenceKeeper({
    ...NOTHING,
    join: async (_room, { connection }) => { held.add(connection) },
    leave: async (_room, { connection }) => {
      if (isAway) throw new Error('away')
      left.push(connection)
      held.delete(connection)
    },
    succeed: async (_room, _userId, former) => {
      if (isSuccessionLost) throw new Error('away')
      for (const connection of former) held.delete(connection)
      return false
    },
    renew: async () => {},
    renewal: () => 10 * LEASE
  }, { grace: 60, lease: LEASE }, () => [], () => {})
  /** Ends a connection while nobody can be told, and comes back by another one. */
  const comeBack = async (former: string, connection: string): Promise<void> => {
    isAway = true
    for (const ended of [former, 'other']) keeper.leave('chat/1', { userId: 'ada', connection: ended }, false)
    await new Promise(setImmediate)
    isAway = false
    const entry = await keeper.join('chat/1', { userId: 'ada', connection })
    keeper.succeed('chat/1', entry, former)
    await new Promise(setImmediate)
  }
  await keeper.join('chat/1', { userId: 'ada', connection: 'first' })
  await comeBack('first', 'second')
  t.same([...held], ['first', 'second'])
  keeper.start()
  t.teardown(() => { keeper.stop() })
  await until('what is owed is told', () => left.includes('other'))
  t.same([...held], ['second'])
  keeper.stop()
  isSuccessionLost = false
  await comeBack('second', 'third')
  t.same([...held], ['third'])
  left.length = 0
  keeper.start()
  await until('what is owed is told', () => left.includes('other'))
  t.same(left, ['other'], 'the return of the client has been told')
})

t.test('a leave that fails late does not take the place of a later one that is still to be told', async (t) => {
  const failing: Array<() => void> = []
  const told: unknown[] = []
  let isAway = true
  const keeper = new PresenceKeeper({
    ...NOTHING,
    leave: async (_room, { fence }) => {
      if (isAway) return await new Promise<void>((_resolve, reject) => { failing.push(() => { reject(new Error('away')) }) })
      told.push(fence)
    }
  }, { grace: 60, lease: LEASE }, () => [], () => {})
  const poll: PresenceEntry = { userId: 'ada', connection: 'poll' }
  const fences: unknown[] = []
  for (let joined = 0; joined < 2; joined++) {
    const entry = keeper.fenced(poll)
    fences.push(entry.fence)
    await keeper.join('chat/1', entry)
    keeper.leave('chat/1', entry, true)
  }
  for (const fail of failing.reverse()) fail()
  await new Promise(setImmediate)
  isAway = false
  keeper.start()
  t.teardown(() => { keeper.stop() })
  await until('it is told', () => told.length > 0)
  t.same(told, [fences[1]])
})

t.test('who has left lately leaves once more where the data may be older, with the time to be renewed elsewhere', async (t) => {
  const left: string[] = []
  const keeper = new PresenceKeeper({
    ...NOTHING,
    leave: async (_room, { connection }, grace) => { left.push(`${connection} ${grace >= 5_000}`) },
    renew: async () => {},
    renewal: () => 10 * LEASE
  }, { grace: 1_000, lease: LEASE }, () => [], (error) => { t.fail(String(error)) })
  const [goes, again, succeeded] = ['goes', 'again', 'succeeded'].map((connection) => ({ userId: 'ada', connection }))
  for (const entry of [goes, again, succeeded]) await keeper.join('chat/1', entry!)
  for (const entry of [goes, again]) keeper.leave('chat/1', entry!, true)
  keeper.release('chat/1', 'ada', ['succeeded'])
  await new Promise(setImmediate)
  await keeper.join('chat/1', again!)
  t.same(left.splice(0), ['goes false', 'again false'])
  await keeper.renew()
  t.same(left, [], 'the data has everything')
  await keeper.restore()
  t.same(left.sort(), ['goes true', 'succeeded true'])
})

t.test('who is within the grace has all of it where the data may be older', async (t) => {
  const graces: number[] = []
  const keeper = new PresenceKeeper({
    ...NOTHING,
    leave: async (_room, _entry, grace) => { graces.push(grace) },
    renew: async () => {},
    renewal: () => 10 * LEASE
  }, { grace: 50_000, lease: LEASE }, () => [], (error) => { t.fail(String(error)) })
  const entry = { userId: 'ada', connection: 'goes' }
  await keeper.join('chat/1', entry)
  keeper.leave('chat/1', entry, false)
  await new Promise(setImmediate)
  await keeper.restore()
  t.equal(graces.length, 2)
  for (const grace of graces) t.ok(grace > 40_000 && grace <= 50_000, `${grace} ms`)
})

t.test('leaves that are given up because too many are owed are reported once, with how many they are', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const errors: string[] = []
  const keeper = new PresenceKeeper({
    ...NOTHING,
    leave: () => { throw new Error('away') }
  }, { grace: 0, lease: LEASE }, () => [], (error) => { errors.push(String(error)) })
  keeper.start()
  t.teardown(() => { keeper.stop() })
  for (let index = 0; index < 10_003; index++) {
    const entry = { userId: 'ada', connection: String(index) }
    await keeper.join('chat/1', entry)
    keeper.leave('chat/1', entry, true)
  }
  mock.timers.tick(50)
  const given = (): string[] => errors.filter((error) => error !== 'Error: away')
  matchList(t, given(), [/^Error: 3 users who have left are shown until their entries run out/])
  mock.timers.tick(50)
  t.equal(given().length, 1)
})
