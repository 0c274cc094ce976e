import t from 'tap'
import { MessageAges } from '../../../lib/adapters/redis/message-ages.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** The server's time when this process began. */
const SERVER = 1_700_000_000_000
const STARTED = 5_000
const id = (at: number): string => `${SERVER + at}-0`

function started (): MessageAges {
  const ages = new MessageAges()
  ages.read(SERVER + STARTED + 5, STARTED, STARTED + 10)
  return ages
}

t.test('what is from before the start is past, and what is as old as messages are kept', async (t) => {
  const ages = started()
  const now = STARTED + 20 * MINUTE
  for (const [at, isPast] of [
    [STARTED - 2 * MINUTE, true], [now - 11 * MINUTE, true], [now - 9 * MINUTE, false], [now, false]
  ] as const) t.equal(ages.isPast(id(at), now), isPast, `${(now - at) / MINUTE} minutes`)
  t.equal(ages.isPast(id(STARTED - 2 * MINUTE), STARTED + MINUTE), true)
  t.equal(ages.isPast(id(STARTED + 10), STARTED + 20), false)
})

for (const [which, ahead] of [['ahead', HOUR], ['behind', -HOUR]] as const) {
  t.test(`a message that came through a failover to a server whose clock is an hour ${which} is not past, by either clock`, async (t) => {
    const ages = started()
    const now = STARTED + 20 * MINUTE
    ages.read(SERVER + now - 1_000, now - 1_000, now - 1_000)
    t.equal(ages.read(SERVER + now + ahead, now, now), true, 'the server may have dropped some')
    t.equal(ages.isPast(id(now - MINUTE), now), false, 'of the first server')
    t.equal(ages.isPast(id(now + ahead), now), false, 'of the second one')
    const later = now + 12 * MINUTE
    t.equal(ages.read(SERVER + later + ahead, later, later), false)
    t.equal(ages.isPast(id(later + ahead - 11 * MINUTE), later), true, 'the clock of the second one counts')
    t.equal(ages.isPast(id(later + ahead), later), false)
  })
}

t.test('an answer that takes long makes no message older', async (t) => {
  const ages = started()
  ages.read(SERVER + STARTED + 100, STARTED + 100, STARTED + 9_000)
  t.ok(ages.of(id(STARTED + 8_000), STARTED + 9_000) <= 1_000)
})
