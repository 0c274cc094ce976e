import t from 'tap'
import { KnownStreams } from '../../../lib/adapters/redis/known.js'
import type { Position } from '../../../lib/protocol/position.js'

const [ONE, TWO] = ['AAAAAAAA', 'BBBBBBBB']

function make (): { known: KnownStreams, following: Map<string, Position> } {
  const following = new Map<string, Position>()
  const known = new KnownStreams({
    get size () { return following.size },
    has: (room) => following.has(room),
    position: (room) => following.get(room)
  })
  return { known, following }
}

t.test('a room is known by its epoch, its beginning and the highest offset that was seen', async (t) => {
  const { known } = make()
  t.equal(known.seen('a'), '')
  known.learn('a', { epoch: ONE, offset: 5 }, 1_000)
  known.learn('a', { epoch: ONE, offset: 3 }, 1_000)
  t.equal(known.seen('a'), `${ONE} 1000 5`)
  known.learn('a', { epoch: ONE, offset: 6 }, 1_000)
  t.equal(known.seen('a'), `${ONE} 1000 6`)
  known.learn('b', { epoch: ONE, offset: 0 }, 0)
  t.equal(known.seen('b'), '', 'there is no epoch yet')
})

t.test('a newer epoch takes the place of an older one, and not the other way round', async (t) => {
  const { known } = make()
  known.learn('a', { epoch: TWO, offset: 1 }, 2_000)
  known.learn('a', { epoch: ONE, offset: 9 }, 1_000)
  t.equal(known.seen('a'), `${TWO} 2000 1`, 'the answer came late')
  known.learn('a', { epoch: ONE, offset: 9 }, 0)
  t.equal(known.seen('a'), `${TWO} 2000 1`, 'there is no epoch yet, though one was known')
  known.learn('a', { epoch: ONE, offset: 9 }, 3_000)
  t.equal(known.seen('a'), `${ONE} 3000 9`)
})

t.test('where this node stands in a room that it follows counts, and is kept when it leaves', async (t) => {
  const { known, following } = make()
  known.learn('a', { epoch: ONE, offset: 5 }, 1_000)
  following.set('a', { epoch: ONE, offset: 3 })
  t.equal(known.seen('a'), `${ONE} 1000 5`, 'it has seen more than it has followed')
  following.set('a', { epoch: ONE, offset: 8 })
  t.equal(known.seen('a'), `${ONE} 1000 8`)
  known.leave('a')
  following.delete('a')
  t.equal(known.seen('a'), `${ONE} 1000 8`)
  following.set('a', { epoch: TWO, offset: 20 })
  t.equal(known.seen('a'), `${ONE} 1000 8`, 'an offset of another epoch says nothing')
  known.leave('a')
  t.equal(known.seen('a'), `${ONE} 1000 8`)
  known.leave('b')
  t.equal(known.seen('b'), '')
})

t.test('the others are the known rooms without members here', async (t) => {
  const { known, following } = make()
  for (const room of ['a', 'b', 'c']) known.learn(room, { epoch: ONE, offset: 1 }, 1_000)
  following.set('b', { epoch: ONE, offset: 1 })
  t.same(await known.others(), ['a', 'c'])
})

t.test('over 10 000 rooms besides those with members here, the first one without members is forgotten', async (t) => {
  const { known, following } = make()
  for (let index = 0; index < 20; index++) following.set(`room ${index}`, { epoch: ONE, offset: 1 })
  for (let index = 0; index < 10_020; index++) known.learn(`room ${index}`, { epoch: ONE, offset: 1 }, 1_000)
  t.equal((await known.others()).length, 10_000)
  known.learn('one more', { epoch: ONE, offset: 1 }, 1_000)
  const others = await known.others()
  t.equal(others.length, 10_000)
  t.same([others[0], others.at(-1)], ['room 21', 'one more'])
  t.not(known.seen('room 0'), '', 'a room with members here stays')
})

t.test('rooms that were known while this node followed many are forgotten again as others are learnt', async (t) => {
  const { known, following } = make()
  for (let index = 0; index < 5_000; index++) following.set(`room ${index}`, { epoch: ONE, offset: 1 })
  for (let index = 0; index < 15_000; index++) known.learn(`room ${index}`, { epoch: ONE, offset: 1 }, 1_000)
  following.clear()
  t.equal((await known.others()).length, 15_000)
  for (let index = 0; index < 6_000; index++) known.learn(`later ${index}`, { epoch: ONE, offset: 1 }, 1_000)
  const others = await known.others()
  t.equal(others.length, 10_000)
  t.equal(others.at(-1), 'later 5999')
})
