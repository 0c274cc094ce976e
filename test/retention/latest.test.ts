import t from 'tap'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import { DAY, MAX_LATEST } from '../../lib/retention/bounds.js'
import { costOf, Latest, latestTtl } from '../../lib/retention/latest.js'

const TTL = 60_000

interface Parts { readonly type?: string, readonly key?: string, readonly version?: number, readonly points?: number }

function value ({ type = 'score', key = 'red', version, points = 0 }: Parts): Packet {
  const head = { type, room: 'board/1', delivery: 'latest', timestamp: 0, key, version } as const
  return encodeEvent(head, JSON.stringify({ points }))
}

function named (latest: Latest): string[] {
  return [...latest.packets(0)].map(({ event, payload }) => {
    const { data } = JSON.parse(payload.toString()) as { data: { points: number } }
    return `${event!.type} ${event!.key!} ${data.points}`
  })
}

t.test('each key of each type has one value, and the one that was set last stands last', async (t) => {
  const latest = new Latest(TTL)
  latest.set(value({ key: 'red', points: 1 }), 0)
  latest.set(value({ key: 'blue', points: 2 }), 0)
  latest.set(value({ type: 'colour', key: 'red', points: 3 }), 0)
  latest.set(value({ key: 'red', points: 4 }), 0)
  t.same(named(latest), ['score blue 2', 'colour red 3', 'score red 4'])
  t.equal(latest.size, 3)
})

t.test('a value that is not newer than the one of its key is refused', async (t) => {
  const latest = new Latest(TTL)
  t.ok(latest.set(value({ version: 5, points: 1 }), 0))
  t.notOk(latest.set(value({ version: 4, points: 2 }), 0))
  t.notOk(latest.set(value({ version: 5, points: 3 }), 0))
  t.same(named(latest), ['score red 1'])
  t.ok(latest.set(value({ version: 6, points: 4 }), 0))
  t.ok(latest.set(value({ key: 'blue', version: 1, points: 5 }), 0), 'another key has another version')
  t.same(named(latest), ['score red 4', 'score blue 5'])
})

t.test('a value without a version gives way to any of the broker, and takes the place of any', async (t) => {
  const latest = new Latest(TTL)
  latest.set(value({ version: 9, points: 1 }), 0)
  t.ok(latest.set(value({ points: 2 }), 0))
  t.same(named(latest), ['score red 2'])
  t.ok(latest.set(value({ version: 1, points: 3 }), 0))
  t.same(named(latest), ['score red 3'])
})

t.test('over the number of values the one that was set first is dropped', async (t) => {
  const latest = new Latest(TTL)
  for (let index = 0; index < MAX_LATEST; index++) latest.set(value({ key: String(index) }), 0)
  latest.set(value({ key: '0', points: 1 }), 0)
  t.equal(latest.size, MAX_LATEST)
  latest.set(value({ key: 'more' }), 0)
  t.equal(latest.size, MAX_LATEST)
  const keys = [...latest.packets(0)].map(({ event }) => event!.key)
  t.same([keys[0], keys.at(-2), keys.at(-1)], ['2', '0', 'more'])
})

t.test('its bytes are those of its values and of the room, and none without a value', async (t) => {
  const latest = new Latest(TTL)
  t.equal(latest.bytes, 0)
  const [short, long] = [value({}), value({ key: 'a longer key' })]
  latest.set(short, 0)
  const room = latest.bytes - costOf(short)
  t.ok(room > 0)
  latest.set(long, 0)
  latest.set(value({ points: 1 }), 0)
  t.equal(latest.bytes, room + costOf(short) + costOf(long))
  latest.shift()
  latest.shift()
  t.equal(latest.bytes, 0)
  t.equal(latest.size, 0)
  latest.shift()
  t.equal(latest.bytes, 0)
})

t.test('it ends when the value that was set first ends', async (t) => {
  const latest = new Latest(TTL)
  t.equal(latest.ends, Number.POSITIVE_INFINITY)
  latest.set(value({ key: 'red' }), 1_000)
  latest.set(value({ key: 'blue' }), 2_000)
  t.equal(latest.ends, 1_000 + TTL)
  latest.set(value({ key: 'red' }), 3_000)
  t.equal(latest.ends, 2_000 + TTL)
  t.same([...latest.packets(2_000 + TTL)].map(({ event }) => event!.key), ['red'])
  t.same([...latest.aged(4_000)].map(({ event }) => event!.age), [2_000, 1_000])
})

t.test('whoever keeps it is told when its last value has gone for want of room', async (t) => {
  let told = 0
  new Latest(TTL, () => { told++ }).emptied()
  t.equal(told, 1)
})

t.test('the values live as long as the history of their room, and a day without one', async (t) => {
  t.equal(latestTtl({ history: { ttl: 5_000 } }), 5_000)
  t.equal(latestTtl({ history: false }), DAY)
  t.equal(latestTtl({ history: { ttl: 5_000 }, owned: true }), DAY)
})
