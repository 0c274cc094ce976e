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
  follow(follower, { read: pages(1, 4), top: 4 })
  t.same(said, ['event 2', 'event 3', 'event 4', 'live'])
})

t.test('while its link lags it reads no further, and goes on when that has drained', async (t) => {
  const { follower, said, drain } = make(1, [2])
  follow(follower, { read: pages(1, 3), top: 3 })
  t.same(said, ['event 2'])
  drain()
  t.same(said, ['event 2', 'event 3', 'live'])
})

t.test('events that the history has lost are a gap, behind which it goes on', async (t) => {
  const { follower, said } = make(1)
  follow(follower, { read: pages(4, 5), top: 5 })
  t.same(said, ['gap 1 3', 'event 4', 'event 5', 'live'])
})

t.test('whoever has gone is told nothing more', async (t) => {
  const { follower, said } = make(1)
  follow({ ...follower, isGone: true }, { read: pages(1, 4), top: 4 })
  t.same(said, [])
})
