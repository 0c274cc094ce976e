import t from 'tap'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import { Retention } from '../../lib/retention/retention.js'
import { LatestValues } from '../../lib/rooms/latest-values.js'

const value = (key: string, version: number): Packet => encodeEvent(
  { type: 'moved', room: 'map', delivery: 'latest', timestamp: 1, key, version },
  String(version)
)
const shown = (values: LatestValues): Array<string | undefined> =>
  [...values.packets].map(({ event }) => `${event!.key!} ${event!.version!}`)

t.test('of each key the newest value is kept, whatever the order in which they come', async (t) => {
  const values = new LatestValues(new Retention(1_000_000), { history: false })
  t.equal(values.set(value('a', 2)), true)
  t.equal(values.set(value('b', 3)), true)
  t.equal(values.set(value('a', 1)), false, 'an older one')
  t.equal(values.set(value('a', 4)), true)
  t.same(shown(values), ['b 3', 'a 4'])
})

t.test('beyond 1 000 keys the value that was set first goes', async (t) => {
  const values = new LatestValues(new Retention(100_000_000), { history: false })
  for (let n = 0; n <= 1_000; n++) values.set(value(String(n), n + 1))
  t.equal(shown(values).length, 1_000)
  t.equal(shown(values)[0], '1 2')
})

const removal = (key: string, version: number): Packet => encodeEvent(
  { type: 'moved', room: 'map', delivery: 'latest', timestamp: 1, key, version, isRemoval: true },
  ''
)

t.test('a removal takes the place of its value, and only a newer value takes that of the removal', async (t) => {
  const values = new LatestValues(new Retention(1_000_000), { history: false })
  values.set(value('a', 2))
  values.set(value('b', 3))
  t.equal(values.set(removal('a', 1)), false, 'of an older value')
  t.equal(values.set(removal('b', 4)), true)
  t.equal(values.set(value('b', 3)), false, 'the value comes again, from a reading that is older')
  t.same([...values.packets].map(({ event }) => [event!.key, event!.isRemoval === true]), [['b', true], ['a', false]])
  t.equal(values.set(value('b', 5)), true)
  t.same(shown(values), ['a 2', 'b 5'])
})

t.test('beyond 1 000 keys removals give way to values, the oldest first', async (t) => {
  const values = new LatestValues(new Retention(100_000_000), { history: false })
  for (let n = 0; n < 999; n++) values.set(value(String(n), n + 1))
  values.set(removal('x', 2_000))
  values.set(removal('y', 2_001))
  t.same(shown(values).slice(0, 2), ['y 2001', '0 1'])
  values.set(value('z', 2_002))
  t.same([shown(values).length, shown(values)[0], shown(values).at(-1)], [1_000, '0 1', 'z 2002'])
})

t.test('a value that ends with its user is told of when a bound ends it before, and no other', async (t) => {
  const told: string[] = []
  const life = { history: false, owned: true } as const
  const values = new LatestValues(new Retention(100_000_000), life, ({ key }) => { told.push(key!) })
  const owned = (key: string, version: number): Packet => encodeEvent(
    { type: 'cursor', room: 'map', delivery: 'latest', timestamp: 1, key, version, user: key },
    '{}'
  )
  values.set(value('plain', 1))
  for (let n = 0; n < 1_001; n++) values.set(owned(`u${n}`, n + 2))
  values.set(owned('u5', 2_000))
  await Promise.resolve()
  t.same(told, ['u0'])
  t.same(shown(values).slice(0, 1), ['u1 3'])
})

t.test('a room that closes gives its bytes back to the budget of all rooms', async (t) => {
  const retention = new Retention(1_000_000)
  const values = new LatestValues(retention, { history: false })
  values.set(value('a', 1))
  t.ok(retention.bytes > 0)
  values.close()
  t.equal(retention.bytes, 0)
  values.set(value('b', 2))
  t.equal(retention.bytes, 0, 'what comes too late counts no more')
})
