import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { gather, inBatches, inLists, inTurns, settleInBatches, throwFirst } from '../../lib/structures/slices.js'

const MANY = Array.from({ length: 5_000 }, (_, index) => index)

/** What was done after each turn of the event loop, until `work` is over. */
async function perTurn (work: Promise<unknown>, done: () => number): Promise<number[]> {
  const seen = [done()]
  const over = work.then(() => true)
  do seen.push(done())
  while (!await Promise.race([over, setImmediate(false)]))
  seen.push(done())
  return seen.map((count, index) => index === 0 ? count : count - seen[index - 1]!)
}

t.test(
  'very many are looked at some in each turn of the event loop, and those that are meant are there in their order',
  async (t) => {
    let looked = 0
    const work = gather(MANY, (item) => {
      looked++
      return item % 2 === 0
    })
    const turns = await perTurn(work, () => looked)
    t.ok(Math.max(...turns) <= 1_000, turns.join())
    t.same(await work, MANY.filter((item) => item % 2 === 0))
  }
)

t.test('steps are done so many in each turn, few of them at once', async (t) => {
  let done = 0
  const turns = await perTurn(inTurns(MANY, 700, () => { done++ }), () => done)
  t.ok(Math.max(...turns) <= 700, turns.join())
  t.equal(done, 5_000)
  let few = 0
  const work = inTurns([1, 2, 3], 3, () => { few++ })
  t.equal(few, 3, 'in the turn of the call')
  await work
})

t.test(
  'of steps that take time no more than a batch is under way, and none is begun behind one that failed',
  async (t) => {
    let [underWay, most, begun] = [0, 0, 0]
    await inBatches(MANY.slice(0, 95), 10, async () => {
      most = Math.max(most, ++underWay)
      await setImmediate()
      underWay--
    })
    t.same([most, underWay], [10, 0])
    const failing = inBatches(MANY, 10, async (item) => {
      begun++
      if (item === 13) throw new Error('away')
    })
    await t.rejects(failing, { message: 'away' })
    t.equal(begun, 20)
  }
)

t.test('of steps some at a time, one that fails keeps no other back, unless all of a batch find that nothing answers', async (t) => {
  const isAway = (error: unknown): boolean => (error as Error).message === 'away'
  const run = async (fails: (item: number) => string | undefined): Promise<[number, Map<number, unknown>]> => {
    let begun = 0
    const failed = await settleInBatches(MANY.slice(0, 95), 10, async (item) => {
      begun++
      await setImmediate()
      const message = fails(item)
      if (message !== undefined) throw new Error(message)
    }, isAway)
    return [begun, failed]
  }
  const [begun, some] = await run((item) => (item % 10 === 3 ? 'away' : item < 10 ? 'wrong' : undefined))
  t.same([begun, some.size], [95, 19])
  t.throws(() => { throwFirst(some) })
  const [tried, all] = await run((item) => (item >= 20 ? 'away' : undefined))
  t.same([tried, [...all.keys()]], [30, MANY.slice(20, 95)], 'those behind it have failed as well')
  t.throws(() => { throwFirst(all) }, { message: 'away' })
  const [, none] = await run(() => undefined)
  t.doesNotThrow(() => { throwFirst(none) })
})

t.test('of very many that are stepped through in lists, one that fails keeps no other from its step', async (t) => {
  const seen: number[] = []
  const work = inLists(MANY, 1_000, async (list) => {
    await setImmediate()
    if (list[0] === 1_000 || list[0] === 3_000) throw new Error(`${list[0]} is away`)
    seen.push(...list)
  })
  await t.rejects(work, { message: '1000 is away' }, 'behind all others')
  t.same(seen, MANY.filter((item) => Math.floor(item / 1_000) % 2 === 0))
})
