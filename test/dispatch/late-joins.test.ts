import t from 'tap'
import type { Peer } from '../../lib/admission/peer.js'
import { LateJoins, type LateJoin } from '../../lib/dispatch/late-joins.js'
import { until } from '../helpers/servers.js'

const peer = (id: string): Peer => ({ id }) as Peer

t.test('one that hangs keeps back none of the others, and what is dropped while it is tried is not tried again', async (t) => {
  const tried: string[] = []
  const late: LateJoins = new LateJoins(async (join) => {
    tried.push(join.connection.id)
    if (join.connection.id === 'hangs') return await new Promise<never>(() => {})
    if (join.connection.id === 'dropped') late.drop(join.connection, join.name)
    t.ok(late.hold(join))
  })
  t.teardown(() => { late.stop() })
  for (const id of ['hangs', 'dropped', 'again']) t.ok(late.hold({ connection: peer(id), name: 'chat/1', since: 1 }))
  await until('three rounds', () => tried.filter((id) => id === 'again').length === 3)
  for (const id of ['hangs', 'dropped']) t.equal(tried.filter((each) => each === id).length, 1, id)
})

t.test('many are tried within one round, twenty at a time', async (t) => {
  let running = 0
  let most = 0
  const tried = new Set<string>()
  const late: LateJoins = new LateJoins(async (join) => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => { setImmediate(resolve) })
    running--
    t.notOk(tried.has(join.connection.id))
    tried.add(join.connection.id)
  })
  t.teardown(() => { late.stop() })
  for (let index = 0; index < 200; index++) late.hold({ connection: peer(String(index)), name: 'chat/1', since: 1 })
  await until('all were tried', () => tried.size === 200)
  t.equal(most, 20)
})

t.test('the newest of what waits for one connection and room is tried again, until it is not refused', async (t) => {
  const tried: number[] = []
  const late: LateJoins = new LateJoins(async (join) => {
    tried.push(join.since)
    if (tried.length < 3) t.ok(late.hold(join))
  })
  t.teardown(() => { late.stop() })
  const connection = peer('a')
  for (const since of [1, 2, 1]) t.ok(late.hold({ connection, name: 'chat/1', since }))
  await until('three attempts', () => tried.length === 3)
  t.same(tried, [2, 2, 2])
})

t.test('a join that waited for a minute, one above ten thousand and one behind the stop are refused', async (t) => {
  const late = new LateJoins(async (_join: LateJoin) => undefined)
  t.teardown(() => { late.stop() })
  const join = (id: string): Omit<LateJoin, 'until'> => ({ connection: peer(id), name: 'chat/1', since: 0 })
  t.notOk(late.hold({ ...join('late'), until: performance.now() }))
  for (let index = 0; index < 10_000; index++) if (!late.hold(join(String(index)))) t.fail(`refused at ${index}`)
  t.notOk(late.hold(join('one more')))
  t.ok(late.hold(join('5')), 'one that waits already')
  late.stop()
  t.notOk(late.hold(join('5')))
})
