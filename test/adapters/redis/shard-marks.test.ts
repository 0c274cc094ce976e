import t from 'tap'
import { Keys } from '../../../lib/adapters/redis/keys.js'
import { ShardMarks } from '../../../lib/adapters/redis/shard-marks.js'

const SLOTS = 16_384
/** Two shards, each with half of the slots. */
const slots = Array.from({ length: SLOTS }, (_, slot) => [slot < SLOTS / 2 ? 'a:1' : 'b:1'])

t.test('a mark that is another one is told once, and one that cannot be read is none', async (t) => {
  const kept = new Map<string, string>()
  let told = 0
  let isAway = false
  const link = {
    slots,
    call: async (_command: string, key: string | number, value: string | number) => {
      if (isAway) throw new Error('away')
      const before = kept.get(String(key)) ?? null
      if (before === null) kept.set(String(key), String(value))
      return before
    }
  }
  const marks = new ShardMarks(link, new Keys('test:'), () => { told++ })
  await marks.look()
  await marks.look()
  t.same([kept.size, told], [2, 0])
  isAway = true
  await marks.look()
  isAway = false
  await marks.look()
  t.equal(told, 0, 'nobody could be asked')
  const [first] = [...kept.keys()]
  kept.delete(first!)
  await Promise.all([marks.look(), marks.look()])
  await marks.look()
  t.equal(told, 1)
  kept.clear()
  await marks.look()
  t.equal(told, 2, 'both at once')
})

t.test('a single server has no marks of shards', async (t) => {
  const marks = new ShardMarks({ slots: undefined, call: async () => { throw new Error('asked') } }, new Keys('x:'), t.fail)
  await t.resolves(marks.look())
})
