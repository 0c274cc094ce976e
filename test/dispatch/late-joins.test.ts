import t from 'tap'
import type { Peer } from '../../lib/admission/peer.js'
import { LateJoins, type LateJoin } from '../../lib/dispatch/late-joins.js'
import { until } from '../helpers/servers.js'

const peer = (id: string): Peer => ({ id }) as Peer

t.test('the newest of what waits for one connection and room is tried again, until it is not refused', async (t) => {
  const tried: number[] = []
  const late: LateJoins = new LateJoins(async (join) => {
    tried.push(join.since)
    if (tried.length < 3) t.ok(late.hold(join))
  })
  t.teardown(() => { late.stop() })
  const connection = peer('a')
  for (const since of [1, 2]) t.ok(late.hold({ connection, name: 'chat/1', since }))
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
