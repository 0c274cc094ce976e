import t from 'tap'
import { isConnected, Leaders, probesOf, slotOf, stepByShard } from '../../../lib/adapters/redis/shards.js'
import { Unreachable } from '../../../lib/adapters/redis/unreachable.js'

const SLOTS = 16_384

void t.test('each shard has one channel that it answers for, however many there are', (t) => {
  for (const count of [1, 3, 100]) {
    const slots = Array.from({ length: SLOTS }, (_, slot) => [`10.0.0.${Math.floor(slot * count / SLOTS)}:6379`])
    const asked = probesOf(slots).map(({ channel }) => slots[slotOf(channel)]![0]!)
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
    const nothing = (): undefined => undefined
    return isConnected({ options: {}, status, call: () => Promise.resolve(), on: nothing, disconnect: nothing })
  })
  t.same(asked, ['connecting', 'connect', 'ready'])
  t.end()
})

/** Slots in equal parts. */
function led (...names: string[]): string[][] {
  return Array.from({ length: SLOTS }, (_, slot) => [names[Math.floor(slot * names.length / SLOTS)]!])
}

for (const [title, steps, expected] of [
  ['that stay', [led('a', 'b'), led('a', 'b')], [false, false]],
  ['of which one is followed by its replica', [led('a', 'b'), led('a', 'c')], [false, true]],
  ['of which one is gone for a while before its replica follows', [led('a', 'b'), led('a'), led('a', 'c')],
    [false, false, true]],
  ['of which one is gone and comes back', [led('a', 'b'), led('a'), led('a', 'b')], [false, false, false]],
  ['to which one is added', [led('a', 'b'), led('a', 'b', 'c')], [false, false]],
  ['of which one gives its slots away', [led('a', 'b', 'c'), led('a', 'b')], [false, false]],
  ['of which one is followed, once', [led('a', 'b'), led('a', 'c'), led('a', 'c')], [false, true, false]]
] as const) {
  void t.test(`servers ${title} ${expected.some(Boolean) ? 'may lack something' : 'lack nothing'}`, (t) => {
    const leaders = new Leaders()
    t.same(steps.map((slots) => leaders.areNow(slots)), expected)
    t.end()
  })
}

void t.test('a server with another run id has restarted, and is told of once', (t) => {
  const leaders = new Leaders()
  leaders.areNow(led('a', 'b'))
  const runs = [['a', '1'], ['b', '1'], ['a', '1'], ['a', '2'], ['a', '2'], ['b', '1']] as const
  t.same(runs.map(([name, run]) => leaders.hasRestarted(name, run)), [false, false, false, true, false, false])
  t.end()
})

void t.test('items of a shard that is away count as failed although they are not tried, and those of others are tried', async (t) => {
  const away = new Unreachable(true, { isLate: true })
  const declined = new Unreachable(false, { isDeclined: true })
  const reasons = new Map<string, unknown>([['a3', away], ['a4', away], ['b1', declined], ['b2', away], ['c1', away]])
  const tried: string[] = []
  const items = ['a', 'b', 'c'].flatMap((shard) => [1, 2, 3, 4, 5, 6].map((item) => `${shard}${item}`))
  const failed = await stepByShard(items, 2, (item) => item[0]!, async (some) => {
    tried.push(...some)
    return new Map(some.flatMap((item) => reasons.has(item) ? [[item, reasons.get(item)]] : []))
  })
  t.same(items.filter((item) => !tried.includes(item)), ['a5', 'a6'])
  t.same([...failed.keys()].sort(), ['a3', 'a4', 'a5', 'a6', 'b1', 'b2', 'c1'])
  for (const [item, error] of failed) t.equal(error, reasons.get(item) ?? away, item)
})
