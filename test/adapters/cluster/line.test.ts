import t from 'tap'
import { PendingCalls } from '../../../lib/adapters/cluster/pending-calls.js'
import { Line, machineTime, VERSION, type Batch } from '../../../lib/adapters/cluster/line.js'

const TURN = async (): Promise<void> => { await new Promise((resolve) => { setImmediate(resolve) }) }

function taken (number: number): Batch {
  return { realtime: VERSION, name: 'realtime', tag: 'a', number: 1, at: machineTime(), taken: number, items: [] }
}

for (const isOnTheWay of [true, false]) {
  const when = isOnTheWay ? 'with a batch on its way' : 'with nothing on its way'
  t.test(`what was sent after a drop ${when} is asked for too, however little it is, until all is taken`, async (t) => {
    const posted: Batch[] = []
    let empty = 0
    const line = new Line({
      name: 'realtime', tag: 'a', post: (batch) => { posted.push(batch) }, onEmpty: () => { empty++ }
    })
    if (isOnTheWay) {
      line.push('live', 0)
      await TURN()
    }
    line.push('live', 0)
    if (!isOnTheWay) line.push('small', 0)
    line.drop((item) => item === 'small')
    await TURN()
    t.equal(posted.at(-1)!.isAsking, true)
    if (isOnTheWay) {
      // The last acknowledgement arrives while one small item waits.
      line.push('small', 0)
      line.received(taken(posted.length))
      await TURN()
      t.same([posted.at(-1)!.items, posted.at(-1)!.isAsking], [['small'], true])
    }
    t.equal(empty, 0)
    line.received(taken(posted.length))
    t.equal(empty, 1)
    line.push('next', 0)
    await TURN()
    t.same([posted.at(-1)!.items, posted.at(-1)!.isAsking], [['next'], undefined], 'no more than before')
    line.close()
  })
}

t.test('what is taken back before it is sent neither waits nor is sent, and the rest goes in its order', async (t) => {
  const posted: Batch[] = []
  let sent = 0
  const line = new Line({ name: 'realtime', tag: 'a', post: (batch) => { posted.push(batch) } })
  const call = { posted: () => { sent++ }, waited: () => 0 }
  const queued = Array.from({ length: 10 }, (_, index) => line.push(index, 1_000, call))
  const { size } = line
  // Some are sent in their turn, before there are as many that were taken back as others.
  for (const index of [1, 4, 4]) line.withdraw(queued[index]!)
  t.same([line.length, line.size], [8, size * 0.8])
  await TURN()
  t.same([posted.flatMap(({ items }) => items), sent], [[0, 2, 3, 5, 6, 7, 8, 9], 8])
  line.withdraw(queued[0]!)
  t.same([line.length, line.size], [0, 0], 'what was sent is not taken back')
  for (const each of Array.from({ length: 10 }, (_, index) => line.push(index, 1_000)).slice(0, 9)) line.withdraw(each)
  t.same([line.length, line.size], [1, size / 10])
  await TURN()
  t.same(posted.at(-1)!.items, [9])
  const [last] = [line.push('last', 1_000)]
  line.close()
  line.withdraw(last)
  t.equal(line.size, 0)
})

t.test('a call takes no longer than its timeout, however late within that it is sent, and the primary can tell', async (t) => {
  const timeout = 1_000
  const posted: Array<[unknown, number]> = []
  const line = new Line({
    name: 'realtime', tag: 'a', post: ({ items, at }) => { posted.push([(items[0] as unknown[])[1], machineTime() - at]) }
  })
  const calls = new PendingCalls({ line, timeout, most: 10, onState: () => {} })
  calls.start()
  const alive = setInterval(() => {}, timeout)
  t.teardown(() => {
    clearInterval(alive)
    calls.close()
    line.close()
  })
  // So much is on its way that nothing else is sent until it has come.
  line.push([0, 'large'], 2 ** 40)
  await TURN()
  const began = performance.now()
  const first = calls.call('first', []).catch((error: unknown) => error)
  await new Promise((resolve) => { setTimeout(resolve, 0.7 * timeout) })
  const second = calls.call('second', [])
  line.received(taken(1))
  t.match(await first, { code: 'unavailable', outcome: 'unknown' }, 'it was sent')
  const took = performance.now() - began
  t.ok(took > 0.95 * timeout && took < 1.5 * timeout, `${Math.round(took)} ms`)
  t.same(posted.map(([method]) => method), ['large', 'first', 'second'], 'what has waited for longer comes by itself')
  t.ok(posted[1]![1] > 0.65 * timeout && posted[2]![1] < 0.5 * timeout, `waited for ${JSON.stringify(posted)}`)
  calls.answered(2, 'done')
  t.equal(await second, 'done')
})
