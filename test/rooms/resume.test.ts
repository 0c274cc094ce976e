import t from 'tap'
import type { HistoryPage } from '../../lib/adapters/adapter.js'
import { encodeEvent } from '../../lib/protocol/packet.js'
import { follow, type Follower } from '../../lib/rooms/resume.js'

const EPOCH = 'abcdefgh'
const at = (offset: number): { epoch: string, offset: number } => ({ epoch: EPOCH, offset })

/** A follower that says what it is told; it lags behind each of the given offsets. */
function make (
  offset: number,
  lags: readonly number[] = []
): { follower: Follower, said: string[], drain: () => void } {
  const said: string[] = []
  let drained: (() => void) | undefined
  const follower: Follower = {
    position: at(offset),
    isGone: false,
    turn: 0,
    replay: ({ position }) => {
      said.push(`event ${position!.offset}`)
      return !lags.includes(position!.offset)
    },
    whenDrained: (callback) => { drained = callback },
    gap: ({ from, to }) => { said.push(`gap ${from ?? '?'} ${to}`) },
    live: () => { said.push('live') }
  }
  return { follower, said, drain: () => { drained?.() } }
}

/** A history of the offsets from `first` to `last`, two on a page. */
function pages (first: number, last: number): (since: { offset: number }) => HistoryPage {
  return ({ offset }) => ({
    resumed: offset >= first - 1,
    events: Array.from({ length: Math.max(0, Math.min(2, last - offset)) }, (_, n) => encodeEvent(
      { type: 'said', room: 'r', delivery: 'reliable', timestamp: 1, position: at(offset + n + 1) },
      '1'
    )),
    top: at(last),
    floor: at(first - 1)
  })
}

t.test('a follower reads page by page up to the top, and is live then', async (t) => {
  const { follower, said } = make(1)
  follow(follower, { read: pages(1, 4), top: 4, epoch: EPOCH })
  t.same(said, ['event 2', 'event 3', 'event 4', 'live'])
})

t.test('while its link lags it reads no further, and goes on when that has drained', async (t) => {
  const { follower, said, drain } = make(1, [2])
  follow(follower, { read: pages(1, 3), top: 3, epoch: EPOCH })
  t.same(said, ['event 2'])
  drain()
  t.same(said, ['event 2', 'event 3', 'live'])
})

t.test('where enough waits for its link already it reads nothing, and comes before those that have had their turn', async (t) => {
  const { follower, said, drain } = make(1)
  let hasRoom = false
  const firsts: unknown[] = []
  const crowded: Follower = {
    ...follower,
    get hasRoom () { return hasRoom },
    whenDrained: (callback, isFirst) => {
      firsts.push(isFirst)
      follower.whenDrained(callback)
    }
  }
  const read = pages(1, 3)
  const reads: number[] = []
  follow(crowded, { read: (since) => { reads.push(since.offset); return read(since) }, top: 3, epoch: EPOCH })
  t.same([said, reads, firsts], [[], [], [true]])
  hasRoom = true
  drain()
  t.same(said, ['event 2', 'event 3', 'live'])
})

t.test('where its link was filled while it read a page it writes nothing of that', async (t) => {
  const { follower, said, drain } = make(1)
  let hasRoom = true
  const crowded: Follower = { ...follower, get hasRoom () { return hasRoom } }
  const read = pages(1, 3)
  follow(crowded, { read: async (since) => { await undefined; return read(since) }, top: 3, epoch: EPOCH })
  hasRoom = false
  await new Promise(setImmediate)
  t.same(said, [])
  hasRoom = true
  drain()
  await new Promise(setImmediate)
  t.same(said, ['event 2', 'event 3', 'live'])
})

t.test('events that the history has lost are a gap, behind which it goes on', async (t) => {
  const { follower, said } = make(1)
  follow(follower, { read: pages(4, 5), top: 5, epoch: EPOCH })
  t.same(said, ['gap 1 3', 'event 4', 'event 5', 'live'])
})

t.test('whoever has gone is told nothing more', async (t) => {
  const { follower, said } = make(1)
  follow({ ...follower, isGone: true }, { read: pages(1, 4), top: 4, epoch: EPOCH })
  t.same(said, [])
})

t.test('a page that was read before its room got another epoch is read again, so that what was lost is told', async (t) => {
  const { follower, said } = make(4)
  const source = { epoch: EPOCH, top: 4, read: async () => await answers.shift()! }
  const other = (offset: number): { epoch: string, offset: number } => ({ epoch: 'other', offset })
  let answer: (page: HistoryPage) => void = () => undefined
  const answers = [
    new Promise<HistoryPage>((resolve) => { answer = resolve }),
    Promise.resolve({ resumed: false, events: [], top: other(2), floor: other(2) }),
    Promise.resolve({ resumed: true, events: [], top: other(2), floor: other(0) })
  ]
  follow(follower, source)
  Object.assign(source, { epoch: 'other', top: 2 })
  answer({ resumed: true, events: [], top: at(4), floor: at(0) })
  await new Promise(setImmediate)
  t.same(said, ['gap ? 2', 'live'])
})
