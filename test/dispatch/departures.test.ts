import t from 'tap'
import { Departures } from '../../lib/dispatch/departures.js'
import { Refusal } from '../../lib/errors/refusal.js'

const gone = new Refusal('unavailable')

t.test('who follows a connection is told once when it ends, and others are not', async (t) => {
  const departures = new Departures()
  const told: string[] = []
  for (const id of ['a', 'a', 'b', undefined]) departures.follow(id, 'chat/1', () => { told.push(String(id)) })
  departures.ended('a', () => gone)
  departures.ended('a', () => gone)
  t.same(told, ['a', 'a'])
})

t.test('who has stopped following is not told, and nothing of it is kept', async (t) => {
  const departures = new Departures()
  const stops = ['a', 'a', undefined].map((id) => departures.follow(id, 'chat/1', () => { t.fail('told') }))
  for (const stop of stops) stop()
  departures.ended('a', () => {
    t.fail('a reason was asked for')
    return gone
  })
  await departures.close(gone)
})

t.test('the end of the server is told to all, each once, and at once to who comes later', async (t) => {
  const departures = new Departures()
  const told: unknown[] = []
  departures.follow('a', 'chat/1', (why) => { told.push(why) })
  departures.follow(undefined, 'chat/1', (why) => { told.push(why) })
  await departures.close(gone)
  departures.ended('a', () => gone)
  departures.follow('b', 'chat/1', (why) => { told.push(why) })()
  t.same(told, [gone, gone, gone])
})

t.test('the end of a connection that has moved to another node is not told, and that of the server is', async (t) => {
  const departures = new Departures()
  const told: string[] = []
  const stop = departures.follow('a', 'chat/1', () => { told.push('stopped') })
  departures.follow('a', 'chat/1', ({ word }) => { told.push(word) })
  departures.moved('a')
  departures.ended('a', () => gone)
  stop()
  t.same(told, [])
  await departures.close(new Refusal('draining'))
  t.same(told, ['draining'])
})

t.test('who follows a connection is told when the server takes its room, and not when another one', async (t) => {
  const departures = new Departures()
  const told: string[] = []
  const stops = ['chat/1', 'chat/2'].map((room) => departures.follow('a', room, () => { told.push(room) }))
  departures.follow('b', 'chat/1', () => { told.push('of another connection') })
  departures.taken('a', 'chat/1', gone)
  departures.taken('a', 'chat/3', gone)
  departures.taken('nobody', 'chat/1', gone)
  t.same(told, ['chat/1'])
  for (const stop of stops) stop()
  departures.taken('a', 'chat/2', gone)
  t.same(told, ['chat/1'])
})
