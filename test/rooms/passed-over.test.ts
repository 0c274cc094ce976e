import t from 'tap'
import { PassedOver } from '../../lib/rooms/passed-over.js'

const EPOCH = 'abcdefgh'
const [FIRST, SECOND] = ['A'.repeat(22), 'B'.repeat(22)]
const at = (offset: number, epoch = EPOCH): { epoch: string, offset: number } => ({ epoch, offset })

t.test('who knows the event before a stretch that left him out stands at the end of it', async (t) => {
  const passed = new PassedOver()
  passed.add('chat/1', FIRST, { userId: 'ada', epoch: EPOCH, from: 5, to: 9 })
  const offsets = [4, 5, 7, 9, 12].map((offset) => passed.behind('chat/1', 'ada', FIRST, at(offset)).offset)
  t.same(offsets, [4, 9, 9, 9, 12])
})

t.test('a stretch is of one room, one connection, one user and one epoch', async (t) => {
  const passed = new PassedOver()
  passed.add('chat/1', FIRST, { userId: 'ada', epoch: EPOCH, from: 5, to: 9 })
  t.same([
    passed.behind('chat/2', 'ada', FIRST, at(5)),
    passed.behind('chat/1', 'ada', SECOND, at(5)),
    passed.behind('chat/1', 'ada', undefined, at(5)),
    passed.behind('chat/1', 'eve', FIRST, at(5)),
    passed.behind('chat/1', 'ada', FIRST, at(5, 'another.'))
  ], [...Array<object>(4).fill(at(5)), at(5, 'another.')])
})

t.test('the stretches of former connections follow one another, the oldest first', async (t) => {
  const passed = new PassedOver()
  passed.add('chat/1', SECOND, { userId: 'ada', epoch: EPOCH, from: 9, to: 12 })
  passed.add('chat/1', FIRST, { userId: 'ada', epoch: EPOCH, from: 5, to: 9 })
  t.same(passed.behind('chat/1', 'ada', `${SECOND},${FIRST}`, at(5)), at(12))
})

t.test('of more stretches than are remembered those that were added last are', async (t) => {
  const passed = new PassedOver()
  const most = 10_000
  const add = (index: number): void => {
    passed.add(`chat/${index}`, FIRST, { userId: 'ada', epoch: EPOCH, from: 1, to: 2 })
  }
  for (let index = 0; index < most; index++) add(index)
  add(0)
  add(most)
  t.equal(passed.size, most)
  t.same([0, 1, 2, most].map((index) => passed.behind(`chat/${index}`, 'ada', FIRST, at(1)).offset), [2, 1, 2, 2])
})
