import t from 'tap'
import { FakeHost, live, reliable } from '../../../lib/adapters/contract/host.js'
import { FollowedRooms, type Followed } from '../../../lib/adapters/broker/followed-rooms.js'
import { Repeats } from '../../../lib/adapters/broker/repeats.js'
import { Unread } from '../../../lib/adapters/broker/unread.js'

const EPOCH = 'abcdefgh'

interface Broker {
  /** Rooms of each comparison. */
  readonly compared: string[][]
  isUp: boolean
  /** Runs before the broker answers. */
  answer: (rooms: readonly string[]) => Promise<void>
}

function follow (
  t: Tap,
  { check = 60_000, isHeld = () => false }: { check?: number, isHeld?: (room: string) => boolean } = {}
): { rooms: FollowedRooms, broker: Broker } {
  const broker: Broker = { compared: [], isUp: true, answer: async () => undefined }
  const rooms = new FollowedRooms({
    check,
    historyBytes: 1_000_000,
    repeats: new Repeats(60_000),
    unread: new Unread({ warn: () => undefined }),
    isUp: () => broker.isUp,
    deliver: () => undefined,
    read: async () => { throw new Error('nothing is to be read') },
    compare: async (due, done) => {
      if (due.length === 0) return
      const names = due.map(({ room }) => room)
      broker.compared.push(names)
      await broker.answer(names)
      for (const followed of due) done(followed)
    },
    isHeld
  })
  rooms.start(new FakeHost('a'))
  t.teardown(async () => { await rooms.close() })
  return { rooms, broker }
}

type Tap = Pick<typeof t, 'teardown'>

function add (rooms: FollowedRooms, ...names: string[]): Followed[] {
  return names.map((room) => {
    const followed = rooms.add(room, reliable, {})
    followed.tail!.open({ epoch: EPOCH, offset: 0 })
    return followed
  })
}

/** Lets every comparison that has begun reach the broker and end. */
const settled = async (): Promise<void> => { for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate) }

t.test('a room that has just heard from the broker is not compared, though its time has come', async (t) => {
  const { rooms, broker } = follow(t)
  const [room] = add(rooms, 'chat/1')
  room!.due = 0
  rooms.check()
  await settled()
  t.same(broker.compared, [])
  t.ok(room!.due > performance.now(), 'its next time is a period away')
})

t.test('a room of which more than the position is compared is looked at every 48 s at least, however long the period', async (t) => {
  let isHeld = false
  const { rooms, broker } = follow(t, { check: 600_000, isHeld: () => isHeld })
  const [room] = add(rooms, 'chat/1')
  for (let turn = 0; turn < 2; turn++) {
    t.ok(room!.due <= performance.now() + 48_000)
    room!.due = 0
    rooms.check()
    await settled()
    t.same(broker.compared, turn === 0 ? [] : [['chat/1']], turn === 0 ? 'it is not quiet' : 'it is held by now')
    isHeld = true
  }
})

t.test('a room that hears nothing for the period is compared', async (t) => {
  const { rooms, broker } = follow(t, { check: 0 })
  add(rooms, 'chat/1')
  await settled()
  rooms.check()
  await settled()
  t.same(broker.compared, [['chat/1']])
})

t.test('after a broken link each room is compared until the broker has answered for it', async (t) => {
  const { rooms, broker } = follow(t)
  add(rooms, 'chat/1', 'chat/2')
  broker.isUp = false
  rooms.checkAll()
  await settled()
  t.same(broker.compared, [], 'nobody is asked while the link is away')
  broker.isUp = true
  broker.answer = async () => { throw new Error('no answer') }
  rooms.check()
  await settled()
  broker.answer = async () => undefined
  rooms.check()
  await settled()
  rooms.check()
  await settled()
  t.same(broker.compared, [['chat/1', 'chat/2'], ['chat/1', 'chat/2']])
})

t.test('a link that breaks during a comparison has all rooms compared again', async (t) => {
  const { rooms, broker } = follow(t)
  add(rooms, 'chat/1')
  let answer = (): void => undefined
  const answered = new Promise<void>((resolve) => { answer = resolve })
  broker.answer = async () => { await answered }
  rooms.checkAll()
  await settled()
  rooms.checkAll()
  await settled()
  t.same(broker.compared, [['chat/1'], ['chat/1']], 'the second does not wait for an answer that may never come')
  answer()
  await settled()
  rooms.check()
  await settled()
  t.equal(broker.compared.length, 2)
})

t.test('a room in doubt is compared although it is not quiet, and the others are not', async (t) => {
  const { rooms, broker } = follow(t)
  add(rooms, 'chat/1', 'chat/2')
  await rooms.doubt(({ room }) => room === 'chat/2')
  t.same(broker.compared, [['chat/2']])
})

t.test('a room without history is compared only where more than its position is kept', async (t) => {
  const { rooms, broker } = follow(t, { isHeld: (room) => room === 'live/1' })
  for (const room of ['live/1', 'live/2']) rooms.add(room, live, {})
  rooms.checkAll()
  await settled()
  t.same(broker.compared, [['live/1']])
})

t.test('who stops following an older entry of a room does not end the newer one', async (t) => {
  const { rooms } = follow(t)
  const [older] = add(rooms, 'chat/1')
  const [newer] = add(rooms, 'chat/1')
  t.equal(rooms.remove(older!), false)
  t.equal(rooms.get('chat/1'), newer)
  t.equal(rooms.remove(newer!), true)
  t.equal(rooms.size, 0)
})

t.test('very many rooms end in turns, so that a process that closes goes on with what else it does', async (t) => {
  const { rooms } = follow(t)
  add(rooms, ...Array.from({ length: 5_000 }, (_, room) => `chat/${room}`))
  const inEachTurn: number[] = []
  let ended = 0
  const count = (): void => {
    inEachTurn.push(ended)
    ended = 0
    turn = setImmediate(count)
  }
  let turn = setImmediate(count)
  await rooms.close(() => { ended++ })
  clearImmediate(turn)
  inEachTurn.push(ended)
  t.equal(inEachTurn.reduce((all, some) => all + some), 5_000)
  t.ok(Math.max(...inEachTurn) <= 1_000, String(inEachTurn))
  t.equal(rooms.size, 0)
})
