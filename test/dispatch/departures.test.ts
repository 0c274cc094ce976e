import t from 'tap'
import { memory } from '../../lib/adapters/memory/adapter.js'
import type { Peer } from '../../lib/admission/peer.js'
import { Departures, takenOut } from '../../lib/dispatch/departures.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { Untold } from '../../lib/dispatch/untold.js'
import { makeDispatch } from '../helpers/inside.js'
import { letGo } from '../helpers/garbage.js'

const peer = (id: string): Peer => ({ id }) as Peer
const gone = new Refusal('unavailable')

t.test('who follows a connection is told once when it ends, and others are not', async (t) => {
  const departures = new Departures()
  const told: string[] = []
  for (const id of ['a', 'a', 'b']) departures.follow(id, 'chat/1', () => { told.push(id) })
  for (const id of ['a', undefined]) departures.followElsewhere(id, 'chat/1', () => { told.push('elsewhere') })
  departures.ended(peer('a'), () => gone)
  departures.ended(peer('a'), () => gone)
  t.same(told, ['a', 'a'])
})

t.test('who has stopped following is not told, and nothing of it is kept', async (t) => {
  const departures = new Departures()
  const fail = (): void => { t.fail('told') }
  const stops = [
    ...['a', 'a'].map((id) => departures.follow(id, 'chat/1', fail)),
    ...['b', undefined].map((id) => departures.followElsewhere(id, 'chat/1', fail))
  ]
  for (const stop of stops) stop()
  departures.ended(peer('a'), () => {
    t.fail('a reason was asked for')
    return gone
  })
  departures.departed('b', 'chat/1', gone)
  await departures.close(gone)
})

t.test('the end of the server is told to all, each once, and at once to who comes later', async (t) => {
  const departures = new Departures()
  const told: unknown[] = []
  departures.follow('a', 'chat/1', (why) => { told.push(why) })
  departures.followElsewhere(undefined, 'chat/1', (why) => { told.push(why) })
  await departures.close(gone)
  departures.ended(peer('a'), () => gone)
  departures.follow('b', 'chat/1', (why) => { told.push(why) })()
  t.same(told, [gone, gone, gone])
})

t.test('of a connection that has moved to another node only that node tells the end, and the server its own', async (t) => {
  const departures = new Departures()
  const asked: unknown[] = []
  departures.onMoved = ({ id }, room) => { asked.push([id, room]) }
  const told: string[] = []
  const stop = departures.follow('a', 'chat/1', () => { told.push('stopped') })
  departures.follow('a', 'chat/1', ({ word }) => { told.push(`first ${word}`) })
  departures.follow('a', 'chat/2', ({ word }) => { told.push(`second ${word}`) })
  departures.follow('a', 'chat/2', () => { told.push('of another node') }, { whenMoved: () => { told.push('moved') } })
  departures.moved(peer('a'))
  departures.ended(peer('a'), () => gone)
  departures.taken(peer('a'), 'chat/1', gone)
  stop()
  t.same(told, ['moved'])
  t.same(asked, [['a', 'chat/1'], ['a', 'chat/2']], 'it is asked for once in each room')
  departures.departed('a', 'chat/1', gone)
  t.same(told, ['moved', 'first unavailable'])
  await departures.close(new Refusal('draining'))
  t.same(told.at(-1), 'second draining')
})

t.test('who follows a connection is told when the server takes its room, and not when another one', async (t) => {
  const departures = new Departures()
  const told: string[] = []
  const stops = ['chat/1', 'chat/2'].map((room) => departures.follow('a', room, () => { told.push(room) }))
  departures.follow('b', 'chat/1', () => { told.push('of another connection') })
  departures.taken(peer('a'), 'chat/1', gone)
  departures.taken(peer('a'), 'chat/3', gone)
  departures.taken(peer('nobody'), 'chat/1', gone)
  t.same(told, ['chat/1'])
  for (const stop of stops) stop()
  departures.taken(peer('a'), 'chat/2', gone)
  t.same(told, ['chat/1'])
})

t.test('why somebody was taken out of a room keeps nothing of what has taken them out', async (t) => {
  const departures = new Departures()
  const kept: Array<() => Refusal> = []
  departures.onDeparted = (_connection, why) => { kept.push(why) }
  class Taking {
    take (): this {
      departures.taken({ id: 'c', userId: 'ada' } as unknown as Peer, 'chat/1', takenOut('chat/1'))
      return this
    }
  }
  const taking = new WeakRef(new Taking().take())
  await letGo([taking])
  t.match(kept[0]?.(), { word: 'not_joined', room: 'chat/1' })
})

t.test('why a connection ended between two polls, and for who asks for it late, keeps nothing of it', async (t) => {
  const untold = new Untold(undefined, () => undefined)
  const dispatch = makeDispatch({ adapter: memory(), acks: { gone: () => undefined }, rooms: {}, untold } as never)
  const kept: Array<() => Refusal> = []
  dispatch.departures.onDeparted = (_connection, why) => { kept.push(why) }
  class Ending {
    readonly id = 'c'
    readonly isParked = true
    readonly transport = 'polling'
    readonly rooms = { all: () => [] }
    readonly endPings = (): void => {}
    ending: Refusal | undefined
    end (): this {
      this.ending = new Refusal('revoked')
      dispatch.host.onClosed(this as never, 'revoked')
      return this
    }
  }
  const ending = new WeakRef(new Ending().end())
  await letGo([ending])
  t.match(kept[0]?.(), { word: 'revoked' })
  t.match(untold.takeEnding('c'), { word: 'revoked' })
})
