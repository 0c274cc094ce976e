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
  const values = new LatestValues(new Retention(1_000_000), false)
  t.equal(values.set(value('a', 2)), true)
  t.equal(values.set(value('b', 3)), true)
  t.equal(values.set(value('a', 1)), false, 'an older one')
  t.equal(values.set(value('a', 4)), true)
  t.same(shown(values), ['b 3', 'a 4'])
})

t.test('beyond 1 000 keys the value that was set first goes', async (t) => {
  const values = new LatestValues(new Retention(100_000_000), false)
  for (let n = 0; n <= 1_000; n++) values.set(value(String(n), n + 1))
  t.equal(shown(values).length, 1_000)
  t.equal(shown(values)[0], '1 2')
})

t.test('a room that closes gives its bytes back to the budget of all rooms', async (t) => {
  const retention = new Retention(1_000_000)
  const values = new LatestValues(retention, false)
  values.set(value('a', 1))
  t.ok(retention.bytes > 0)
  values.close()
  t.equal(retention.bytes, 0)
  values.set(value('b', 2))
  t.equal(retention.bytes, 0, 'what comes too late counts no more')
})
