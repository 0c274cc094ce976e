import t from 'tap'
import { isConnected, probesOf, slotOf } from '../../../lib/adapters/redis/shards.js'

const SLOTS = 16_384

void t.test('each shard has one channel that it answers for, however many there are', (t) => {
  for (const count of [1, 3, 100]) {
    const slots = Array.from({ length: SLOTS }, (_, slot) => [`10.0.0.${Math.floor(slot * count / SLOTS)}:6379`])
    const asked = probesOf(slots).map((channel) => slots[slotOf(channel)]![0]!)
    t.equal(asked.length, count)
    t.equal(new Set(asked).size, count)
  }
  t.end()
})

void t.test('slots that nobody serves are asked of nobody', (t) => {
  t.same(probesOf([]), [])
  t.same(probesOf(Array.from({ length: SLOTS }, () => undefined)), [])
  t.end()
})

void t.test('a shard that was never used, or whose connection has ended, is not asked', (t) => {
  const asked = ['wait', 'connecting', 'connect', 'ready', 'close', 'end'].filter((status) => {
    return isConnected({ options: {}, status, call: () => Promise.resolve(), disconnect: () => undefined })
  })
  t.same(asked, ['connecting', 'connect', 'ready'])
  t.end()
})
